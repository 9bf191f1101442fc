#include "config.h"

#include "launch/options/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define LONGEST 63 /* of the words compared; no option is longer */

static char fold(char c)
{
    return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

static int min_of(int a, int b)
{
    return a < b ? a : b;
}

/* Damerau's distance in its restricted form (Boytsov 2011, "optimal string alignment"): three rows of the
 * table suffice. */
static int edit_distance(const char *a, const char *b)
{
    int n = (int)strlen(a), m = (int)strlen(b);
    int rows[3][LONGEST + 2];
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    for (int j = 0; j <= m; j++)
        rows[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = rows[i % 3], *before = rows[(i + 2) % 3], *before2 = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int replace = before[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
            now[j] = min_of(replace, min_of(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
                now[j] = min_of(now[j], before2[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

/* Whether `whole` begins or ends with `word`, as "warmup-epochs" does with "warm" and "epochs". */
static bool is_an_end_of(const char *word, const char *whole)
{
    size_t n = strlen(word), m = strlen(whole);
    return n < m && (strncmp(word, whole, n) == 0 || strcmp(word, whole + m - n) == 0);
}

const char *dt_suggest(const char *word, const char *const *candidates)
{
    const char *best = NULL, *part = NULL;
    int n_part = 0, longest_distance = (int)strlen(word) / 3 > 1 ? (int)strlen(word) / 3 : 1;
    int best_distance = longest_distance + 1;
    for (const char *const *c = candidates; *c; c++) {
        int distance = edit_distance(word, *c);
        if (distance < best_distance) {
            best = *c;
            best_distance = distance;
        }
        if (strlen(word) >= 2 && is_an_end_of(word, *c)) {
            part = *c;
            n_part++;
        }
    }
    return best ? best : n_part == 1 ? part : NULL;
}
