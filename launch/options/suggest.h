/* suggest.h: "did you mean ...?" */
#ifndef DT_LAUNCH_OPTIONS_SUGGEST_H
#define DT_LAUNCH_OPTIONS_SUGGEST_H

/* Returns the candidate (of a list ended by NULL) that the user most likely meant by `word`, or NULL. It is
 * the one with the least edit distance (insert, delete, replace, swap two neighbours), if that is at most a
 * third of the word's length; else the one that begins or ends with `word`, if there is only one. '_' equals
 * '-'. */
const char *dt_suggest(const char *word, const char *const *candidates);

#endif
