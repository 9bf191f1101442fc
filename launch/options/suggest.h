/* suggest.h: "did you mean ...?" */
#ifndef DT_LAUNCH_OPTIONS_SUGGEST_H
#define DT_LAUNCH_OPTIONS_SUGGEST_H

/* The candidate (of a list ended by NULL) that `word` most likely was meant to be, or NULL if none is near:
 * an edit distance (insert, delete, replace, swap two neighbours) of a third of the word's length at most, or
 * `word` as the beginning or end of just one candidate. '_' equals '-'. */
const char *dt_suggest(const char *word, const char *const *candidates);

#endif
