/* simd_winograd_block.h: the functions of simd_winograd.c for one size of block. simd_winograd.c includes
 * this file once for blocks of 16 and once for blocks of 8, with VEC, a vector of BLOCK floats, and NAME,
 * which adds the size to a name. */

/* -- one dimension of the transformations ---------------------------------------------------------------- */

DT_SIMD_INLINE VEC NAME(load)(const float *p)
{
    VEC v;
    memcpy(&v, p, sizeof v);
    return v;
}

DT_SIMD_INLINE void NAME(store)(float *p, VEC v)
{
    memcpy(p, &v, sizeof v);
}

/* x * f + y */
DT_SIMD_INLINE VEC NAME(add_times)(VEC x, float f, VEC y)
{
    return VEC_FMA(x, VEC_SPLAT(f), y);
}

/* B' d */
DT_SIMD_INLINE void NAME(input_6)(const VEC d[6], VEC e[6])
{
    const VEC even_a = NAME(add_times)(d[2], -B2, d[4]), odd_a = NAME(add_times)(d[3], A, d[1] * -B);
    const VEC even_b = NAME(add_times)(d[2], -A2, d[4]), odd_b = NAME(add_times)(d[3], B, d[1] * -A);
    e[0] = NAME(add_times)(d[2], -(A2 + B2), d[0] + d[4]);
    e[1] = even_a + odd_a;
    e[2] = even_a - odd_a;
    e[3] = even_b + odd_b;
    e[4] = even_b - odd_b;
    e[5] = NAME(add_times)(d[3], -(A2 + B2), d[1] + d[5]);
}

/* A' m */
DT_SIMD_INLINE void NAME(output_4)(const VEC m[6], VEC y[4])
{
    const VEC sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4],
              difference_b = m[3] - m[4];
    y[0] = m[0] + sum_a + sum_b;
    y[1] = NAME(add_times)(difference_b, B, difference_a * A);
    y[2] = NAME(add_times)(sum_b, B2, sum_a * A2);
    y[3] = NAME(add_times)(difference_b, B * B2, NAME(add_times)(difference_a, A * A2, m[5]));
}

/* A y */
DT_SIMD_INLINE void NAME(gradient_6)(const VEC y[4], VEC z[6])
{
    const VEC even_a = NAME(add_times)(y[2], A2, y[0]), odd_a = NAME(add_times)(y[3], A * A2, y[1] * A);
    const VEC even_b = NAME(add_times)(y[2], B2, y[0]), odd_b = NAME(add_times)(y[3], B * B2, y[1] * B);
    z[0] = y[0];
    z[1] = even_a + odd_a;
    z[2] = even_a - odd_a;
    z[3] = even_b + odd_b;
    z[4] = even_b - odd_b;
    z[5] = y[3];
}

/* G g */
DT_SIMD_INLINE void NAME(weights_6)(const VEC g[3], VEC u[6])
{
    const VEC even_a = NAME(add_times)(g[2], A2, g[0]) * FA, odd_a = g[1] * (A * FA);
    const VEC even_b = NAME(add_times)(g[2], B2, g[0]) * FB, odd_b = g[1] * (B * FB);
    u[0] = g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
}

/* G' u */
DT_SIMD_INLINE void NAME(weight_gradient_3)(const VEC u[6], VEC g[3])
{
    const VEC sum_a = (u[1] + u[2]) * FA, difference_a = (u[1] - u[2]) * (A * FA);
    const VEC sum_b = (u[3] + u[4]) * FB, difference_b = (u[3] - u[4]) * (B * FB);
    g[0] = u[0] + sum_a + sum_b;
    g[1] = difference_a + difference_b;
    g[2] = NAME(add_times)(sum_b, B2, NAME(add_times)(sum_a, A2, u[5]));
}

/* -- tiles ----------------------------------------------------------------------------------------------- */

/* The part of a window of `size` pixels from `at` on that lies inside 0..n-1, counted from `at`. */
typedef struct NAME(part) {
    int64_t begin, end;
} NAME(part);

DT_SIMD_INLINE NAME(part) NAME(part_inside)(int64_t at, int64_t size, int64_t n)
{
    return (NAME(part)){at < 0 ? -at : 0, n - at < size ? n - at : size};
}

/* A pixel of a lazy activation, normalised. */
DT_SIMD_INLINE VEC NAME(pixel)(const float *p, bool is_lazy, bool has_relu, VEC scale, VEC bias)
{
    VEC v = NAME(load)(p);
    if (is_lazy)
        v = VEC_FMA(v, scale, bias);
    if (has_relu)
        v = (VEC)((VECI)v & ~(v < 0.0F));
    return v;
}

DT_SIMD_INLINE void NAME(input_tiles)(const dt_cpu_tiles *t, const float *x, const dt_cpu_norm *norm,
                                      bool is_lazy, bool has_relu, int64_t begin, int64_t end, float *v)
{
    const int64_t per_row = (t->w + 3) / 4;
    const VEC scale = is_lazy ? NAME(load)(norm->scale) : (VEC){0},
              bias = is_lazy ? NAME(load)(norm->bias) : (VEC){0};
    for (int64_t tile = begin; tile < end; tile++, v += t->tile) {
        const int64_t top = tile / per_row * 4 - 1, left = tile % per_row * 4 - 1;
        const NAME(part) rows = NAME(part_inside)(top, 6, t->h), columns = NAME(part_inside)(left, 6, t->w);
        const bool is_whole = rows.begin == 0 && rows.end == 6 && columns.begin == 0 && columns.end == 6;
        const float *from = x + (top * t->w + left) * BLOCK;
        VEC half[6][6], d[6], e[6];
        for (int64_t i = 0; i < 6; i++) {
            if (is_whole) {
                for (int64_t j = 0; j < 6; j++)
                    d[j] = NAME(pixel)(from + (i * t->w + j) * BLOCK, is_lazy, has_relu, scale, bias);
            } else {
                for (int64_t j = 0; j < 6; j++) {
                    d[j] = (VEC){0};
                    if (i >= rows.begin && i < rows.end && j >= columns.begin && j < columns.end)
                        d[j] = NAME(pixel)(from + (i * t->w + j) * BLOCK, is_lazy, has_relu, scale, bias);
                }
            }
            NAME(input_6)(d, half[i]);
        }
        for (int64_t j = 0; j < 6; j++) {
            for (int64_t i = 0; i < 6; i++)
                d[i] = half[i][j];
            NAME(input_6)(d, e);
            for (int64_t i = 0; i < 6; i++)
                NAME(store)(v + (i * 6 + j) * t->frequency, e[i]);
        }
    }
}

static void NAME(input)(const dt_cpu_tiles *t, const float *x, const dt_cpu_norm *norm, int64_t begin,
                        int64_t end, float *v)
{
    if (norm->scale == NULL)
        NAME(input_tiles)(t, x, norm, false, false, begin, end, v);
    else if (norm->relu)
        NAME(input_tiles)(t, x, norm, true, true, begin, end, v);
    else
        NAME(input_tiles)(t, x, norm, true, false, begin, end, v);
}

static void NAME(output)(const dt_cpu_tiles *t, const float *m, int64_t begin, int64_t end, float *y)
{
    const int64_t per_row = (t->w + 3) / 4;
    for (int64_t tile = begin; tile < end; tile++, m += t->tile) {
        const int64_t top = tile / per_row * 4, left = tile % per_row * 4;
        const int64_t n_rows = t->h - top < 4 ? t->h - top : 4, n_columns = t->w - left < 4 ? t->w - left : 4;
        VEC half[6][4], d[6], e[4];
        for (int64_t i = 0; i < 6; i++) {
            for (int64_t j = 0; j < 6; j++)
                d[j] = NAME(load)(m + (i * 6 + j) * t->frequency);
            NAME(output_4)(d, half[i]);
        }
        for (int64_t j = 0; j < n_columns; j++) {
            for (int64_t i = 0; i < 6; i++)
                d[i] = half[i][j];
            NAME(output_4)(d, e);
            for (int64_t i = 0; i < n_rows; i++)
                NAME(store)(y + ((top + i) * t->w + left + j) * BLOCK, e[i]);
        }
    }
}

static void NAME(output_gradient)(const dt_cpu_tiles *t, const float *dy, int64_t begin, int64_t end,
                                  float *v)
{
    const int64_t per_row = (t->w + 3) / 4;
    for (int64_t tile = begin; tile < end; tile++, v += t->tile) {
        const int64_t top = tile / per_row * 4, left = tile % per_row * 4;
        const int64_t n_rows = t->h - top, n_columns = t->w - left;
        VEC half[4][6], d[4], e[6];
        for (int64_t i = 0; i < 4; i++) {
            for (int64_t j = 0; j < 4; j++)
                d[j] = i < n_rows && j < n_columns ? NAME(load)(dy + ((top + i) * t->w + left + j) * BLOCK)
                                                   : (VEC){0};
            NAME(gradient_6)(d, half[i]);
        }
        for (int64_t j = 0; j < 6; j++) {
            for (int64_t i = 0; i < 4; i++)
                d[i] = half[i][j];
            NAME(gradient_6)(d, e);
            for (int64_t i = 0; i < 6; i++)
                NAME(store)(v + (i * 6 + j) * t->frequency, e[i]);
        }
    }
}

/* -- weights --------------------------------------------------------------------------------------------- */

static void NAME(weights)(const float *w, int64_t frequency, float *u)
{
    for (int64_t c = 0; c < BLOCK; c++, w += BLOCK, u += BLOCK) {
        VEC half[3][6], d[3], e[6];
        for (int64_t i = 0; i < 3; i++) {
            for (int64_t j = 0; j < 3; j++)
                d[j] = NAME(load)(w + (i * 3 + j) * BLOCK * BLOCK);
            NAME(weights_6)(d, half[i]);
        }
        for (int64_t j = 0; j < 6; j++) {
            for (int64_t i = 0; i < 3; i++)
                d[i] = half[i][j];
            NAME(weights_6)(d, e);
            for (int64_t i = 0; i < 6; i++)
                NAME(store)(u + (i * 6 + j) * frequency, e[i]);
        }
    }
}

static void NAME(weight_gradient)(const float *du, int64_t frequency, int64_t row, bool accumulate, float *dw)
{
    for (int64_t c = 0; c < BLOCK; c++, du += row, dw += BLOCK) {
        VEC half[6][3], d[6], e[3];
        for (int64_t i = 0; i < 6; i++) {
            for (int64_t j = 0; j < 6; j++)
                d[j] = NAME(load)(du + (i * 6 + j) * frequency);
            NAME(weight_gradient_3)(d, half[i]);
        }
        for (int64_t j = 0; j < 3; j++) {
            for (int64_t i = 0; i < 6; i++)
                d[i] = half[i][j];
            NAME(weight_gradient_3)(d, e);
            for (int64_t i = 0; i < 3; i++) {
                float *to = dw + (i * 3 + j) * BLOCK * BLOCK;
                NAME(store)(to, accumulate ? NAME(load)(to) + e[i] : e[i]);
            }
        }
    }
}

/* -- products -------------------------------------------------------------------------------------------- */

/* n_rows rows of V times two blocks of U's columns, `inner` long. */
DT_SIMD_INLINE void NAME(product_rows)(int n_rows, const dt_cpu_product *p, const float *v, const float *u,
                                       float *m)
{
    VEC sum[ROWS][2] = {{{0}}};
    for (int64_t c = 0; c < p->inner; c++, u += BLOCK) {
        const VEC u0 = NAME(load)(u), u1 = NAME(load)(u + p->block_step);
        for (int i = 0; i < n_rows; i++) {
            const VEC f = VEC_SPLAT(v[i * p->row + c]);
            sum[i][0] = VEC_FMA(f, u0, sum[i][0]);
            sum[i][1] = VEC_FMA(f, u1, sum[i][1]);
        }
    }
    for (int i = 0; i < n_rows; i++) {
        NAME(store)(m + i * p->to_row, sum[i][0]);
        NAME(store)(m + i * p->to_row + BLOCK, sum[i][1]);
    }
}

static void NAME(product)(const dt_cpu_product *p, const float *v, const float *u, float *m)
{
    for (int64_t i = 0; i < p->n_rows; i += ROWS)
        NAME(product_rows)(ROWS, p, v + i * p->row, u, m + i * p->to_row);
}

/* n_rows channels of V' times two blocks of Y's, added to dU. */
DT_SIMD_INLINE void NAME(outer_rows)(int n_rows, const dt_cpu_product *p, const float *v, const float *y,
                                     float *du)
{
    VEC sum[ROWS < 4 ? 4 : ROWS][2];
    for (int i = 0; i < n_rows; i++) {
        sum[i][0] = NAME(load)(du + i * p->to_row);
        sum[i][1] = NAME(load)(du + i * p->to_row + BLOCK);
    }
    for (int64_t t = 0; t < p->inner; t++, v += p->row, y += p->block_step) {
        const VEC y0 = NAME(load)(y), y1 = NAME(load)(y + BLOCK);
        for (int i = 0; i < n_rows; i++) {
            const VEC f = VEC_SPLAT(v[i]);
            sum[i][0] = VEC_FMA(f, y0, sum[i][0]);
            sum[i][1] = VEC_FMA(f, y1, sum[i][1]);
        }
    }
    for (int i = 0; i < n_rows; i++) {
        NAME(store)(du + i * p->to_row, sum[i][0]);
        NAME(store)(du + i * p->to_row + BLOCK, sum[i][1]);
    }
}

static void NAME(outer)(const dt_cpu_product *p, const float *v, const float *y, float *du)
{
    int64_t n_large = p->n_rows / ROWS, i = 0;
    while ((p->n_rows - n_large * ROWS) % 4 != 0)
        n_large--;
    for (; i < n_large * ROWS; i += ROWS)
        NAME(outer_rows)(ROWS, p, v + i, y, du + i * p->to_row);
    for (; i < p->n_rows; i += 4)
        NAME(outer_rows)(4, p, v + i, y, du + i * p->to_row);
}
