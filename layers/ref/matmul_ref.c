/* matmul_ref.c: the one loop nest in which layers/ref spends its time.
 *
 * c [m][n] += a [m][k] b [k][n], all row-major doubles. A tile of 2 rows and 8 columns of c stays in registers while k runs
 * through, so that plain C reaches a fair part of what the machine can do in float64. Each element of c belongs to one
 * thread and is summed in the order of k: the number of threads does not show in the result.
 */
#include "layers/ref/ref_internal.h"

enum { TILE_ROWS = 2, TILE_COLUMNS = 8, BLOCK_ROWS = 32 };

static void whole_tile(int64_t n, int64_t k, const double *a, const double *b, double *c)
{
    double sum0[TILE_COLUMNS] = {0};
    double sum1[TILE_COLUMNS] = {0};
    for (int64_t i = 0; i < k; i++) {
        const double *row = b + i * n;
        double a0 = a[i];
        double a1 = a[k + i];
        for (int column = 0; column < TILE_COLUMNS; column++) {
            sum0[column] += a0 * row[column];
            sum1[column] += a1 * row[column];
        }
    }
    for (int column = 0; column < TILE_COLUMNS; column++) {
        c[column] += sum0[column];
        c[n + column] += sum1[column];
    }
}

/* At the lower and right edges: fewer rows or columns than a tile has. */
static void part_of_tile(int64_t rows, int64_t columns, int64_t n, int64_t k, const double *a, const double *b,
                         double *c)
{
    for (int64_t row = 0; row < rows; row++) {
        double sum[TILE_COLUMNS] = {0};
        for (int64_t i = 0; i < k; i++)
            for (int64_t column = 0; column < columns; column++)
                sum[column] += a[row * k + i] * b[i * n + column];
        for (int64_t column = 0; column < columns; column++)
            c[row * n + column] += sum[column];
    }
}

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

void dt_ref_matmul_add(int n_threads, int64_t m, int64_t n, int64_t k, const double *a, const double *b, double *c)
{
    (void)n_threads; /* without OpenMP */
#pragma omp parallel for collapse(2) schedule(static) num_threads(n_threads)
    for (int64_t block = 0; block < m; block += BLOCK_ROWS) {
        for (int64_t column = 0; column < n; column += TILE_COLUMNS) {
            int64_t columns = at_most(n - column, TILE_COLUMNS);
            for (int64_t row = block; row < at_most(m, block + BLOCK_ROWS); row += TILE_ROWS) {
                int64_t rows = at_most(m - row, TILE_ROWS);
                if (rows == TILE_ROWS && columns == TILE_COLUMNS)
                    whole_tile(n, k, a + row * k, b + column, c + row * n + column);
                else
                    part_of_tile(rows, columns, n, k, a + row * k, b + column, c + row * n + column);
            }
        }
    }
}
