/* matmul_ref.c: the loop nest in which layers/ref spends most of its time.
 *
 * c [m][n] += a [m][k] b [k][n], all row-major doubles. A tile of 2 rows and 8 columns of c stays in
 * registers while k advances, so that portable C reaches a fair part of the machine's float64 speed. Each
 * element of c belongs to one thread and is summed in the order of k, so the result does not depend on the
 * number of threads.
 */
#include "layers/ref/ref_internal.h"

enum { TILE_ROWS = 2, TILE_COLUMNS = 8, BLOCK_ROWS = 32 };

/* Two doubles, aligned as one double. Every processor has two lanes, and the compiler need not vectorise by
 * itself. */
typedef double pair __attribute__((vector_size(16), aligned(sizeof(double))));

/* The sums are variables and not an array, which keeps them in registers even under a sanitizer, which checks
 * every access to an array. */
static void whole_tile(int64_t n, int64_t k, const double *a, const double *b, double *c)
{
    pair s00 = {0}, s01 = {0}, s02 = {0}, s03 = {0};
    pair s10 = {0}, s11 = {0}, s12 = {0}, s13 = {0};
    for (int64_t i = 0; i < k; i++) {
        const pair *row = (const pair *)(b + i * n);
        const pair b0 = row[0], b1 = row[1], b2 = row[2], b3 = row[3];
        const pair a0 = {a[i], a[i]};
        const pair a1 = {a[k + i], a[k + i]};
        s00 += a0 * b0;
        s01 += a0 * b1;
        s02 += a0 * b2;
        s03 += a0 * b3;
        s10 += a1 * b0;
        s11 += a1 * b1;
        s12 += a1 * b2;
        s13 += a1 * b3;
    }
    pair *out0 = (pair *)c, *out1 = (pair *)(c + n);
    out0[0] += s00;
    out0[1] += s01;
    out0[2] += s02;
    out0[3] += s03;
    out1[0] += s10;
    out1[1] += s11;
    out1[2] += s12;
    out1[3] += s13;
}

/* At the lower and right edges: fewer rows or columns than a tile has. */
static void part_of_tile(int64_t rows, int64_t columns, int64_t n, int64_t k, const double *a,
                         const double *b, double *c)
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

void dt_ref_matmul_add(int n_threads, int64_t m, int64_t n, int64_t k, const double *a, const double *b,
                       double *c)
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
