/* backend_kit_conv.c: convolutions and their weights, for the cases of backend_cases.h. */
#include "tests/backend_kit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void dt_kit_conv_text(const dt_conv_desc *d, char *text, size_t n_bytes)
{
    snprintf(text, n_bytes,
             "n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64 " k%" PRId64 " r%" PRId64 " s%" PRId64
             " stride%" PRId64 " pad%" PRId64,
             d->n, d->c, d->h, d->w, d->k, d->r, d->s, d->stride, d->pad);
}

unsigned dt_kit_conv_fusions(dt_kit *kit, const dt_conv_desc *desc)
{
    dt_kernels *k = kit->side[DT_KIT_CANDIDATE];
    dt_conv *conv = NULL;
    dt_error err = {0};
    if (k->ops->conv_create(k, desc, &conv, &err) != DT_OK)
        return 0; /* conv_forward's case reports the error */
    unsigned fusions = k->ops->conv_fusions(k, conv);
    k->ops->conv_destroy(k, conv);
    return fusions;
}

dt_kit_conv dt_kit_conv_open(dt_kit *kit, const dt_conv_desc *desc)
{
    dt_kit_conv pair = {.desc = *desc};
    for (int side = 0; side < DT_KIT_SIDES && !dt_kit_failed(kit); side++) {
        dt_kernels *k = kit->side[side];
        dt_error err = {0};
        if (k->ops->conv_create(k, desc, &pair.conv[side], &err) != DT_OK)
            dt_kit_fail(kit, "%s: conv_create: %s", k->ops->name, err.message);
    }
    return pair;
}

void dt_kit_conv_close(dt_kit *kit, dt_kit_conv *pair)
{
    for (int side = 0; side < DT_KIT_SIDES; side++)
        if (pair->conv[side] != NULL)
            kit->side[side]->ops->conv_destroy(kit->side[side], pair->conv[side]);
}

/* FP16, BF16 and TF32 backends round weights. Round them here first, so that only the arithmetic is
 * compared. */
static void round_to_bf16(float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bits &= 0xFFFF0000U;
        memcpy(&values[i], &bits, sizeof bits);
    }
}

/* Random weights of He's variance, so that outputs have the size of inputs. */
static float *random_weights(dt_kit *kit, const dt_conv_desc *d)
{
    int64_t n = d->k * d->c * d->r * d->s;
    float bound = sqrtf(6.0F / (float)(d->c * d->r * d->s));
    float *oihw = dt_kit_random(kit, n, -bound, bound);
    if (kit->side[DT_KIT_CANDIDATE]->dtype != DT_F32)
        round_to_bf16(oihw, n);
    return oihw;
}

dt_kit_buffer *dt_kit_conv_weights(dt_kit *kit, const dt_kit_conv *pair, dt_kit_role role, const float *oihw)
{
    int64_t n_bytes[DT_KIT_SIDES];
    for (int side = 0; side < DT_KIT_SIDES; side++)
        n_bytes[side] = kit->side[side]->ops->conv_weights_elems(kit->side[side], pair->conv[side]) *
                        (int64_t)sizeof(float);
    dt_kit_buffer *buffer = dt_kit_opaque(kit, n_bytes);
    buffer->role = role;
    for (int side = 0; side < DT_KIT_SIDES && oihw != NULL; side++) {
        dt_kernels *k = kit->side[side];
        dt_error err = {0};
        float *own = dt_kit_array(kit, n_bytes[side], 1); /* zeros */
        dt_weights_order order;
        k->ops->conv_weights_order(k, pair->conv[side], &order);
        dt_weights_from_canonical(&order, oihw, own);
        if (k->device->ops->copy(k->device, buffer->data[side], own, n_bytes[side], DT_COPY_TO_DEVICE, NULL,
                                 &err) != DT_OK ||
            k->device->ops->stream_wait(k->device, NULL, &err) != DT_OK)
            dt_kit_fail(kit, "%s: copy: %s", k->ops->name, err.message);
    }
    dt_kit_remember(kit, buffer);
    return buffer;
}

void dt_kit_conv_add_weights(dt_kit *kit, dt_kit_conv *pair)
{
    if (pair->oihw == NULL)
        pair->oihw = random_weights(kit, &pair->desc);
    pair->w = dt_kit_conv_weights(kit, pair, DT_KIT_IN, pair->oihw);
    for (int side = 0; side < DT_KIT_SIDES; side++) {
        dt_kernels *k = kit->side[side];
        dt_error err = {0};
        if (k->ops->conv_weights_changed(k, pair->conv[side], pair->w->data[side], &err) != DT_OK)
            dt_kit_fail(kit, "%s: conv_weights_changed: %s", k->ops->name, err.message);
    }
}

void dt_kit_conv_expect_weights(dt_kit *kit, const char *what, const dt_kit_conv *pair,
                                const dt_kit_buffer *buffer)
{
    int64_t n = pair->desc.k * pair->desc.c * pair->desc.r * pair->desc.s;
    float *oihw[DT_KIT_SIDES];
    for (int side = 0; side < DT_KIT_SIDES && !dt_kit_failed(kit); side++) {
        dt_kernels *k = kit->side[side];
        const float *own = dt_kit_download(kit, buffer, side);
        dt_weights_order order;
        oihw[side] = dt_kit_array(kit, n, sizeof(float));
        k->ops->conv_weights_order(k, pair->conv[side], &order);
        dt_weights_to_canonical(&order, own, oihw[side]);
        for (int64_t i = 0; i < buffer->bytes[side] / (int64_t)sizeof(float); i++)
            if (!isfinite(own[i]))
                dt_kit_fail(kit, "%s: %s[%lld] in its own order was not written", k->ops->name, what,
                            (long long)i);
    }
    if (!dt_kit_failed(kit))
        dt_kit_expect(kit, what, oihw[DT_KIT_CANDIDATE], oihw[DT_KIT_REFERENCE], n, 0);
}
