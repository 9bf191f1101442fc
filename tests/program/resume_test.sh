#!/bin/bash
# Bits: of the same job twice, of a job that is killed repeatedly, of one that changes its number of ranks.
# DTRAIN_TEST_MOMENTS=N repeats the moments of an earlier run, whose failure prints N.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cpu_backend

seed=${DTRAIN_TEST_MOMENTS:-$$}
RANDOM=$seed

# 4 classes of 12 images to train on, 5 to evaluate on: 6 steps an epoch at a global batch of 8.
data=$_base/data
digits "$data" 4 12 5 || exit 99
job=(--data "$data" --arch resnet18 --image-size 32 --epochs 3 --lr 0.02 --threads 1)

steps_in()
{
    # shellcheck disable=SC2002 # 0, too, if there is none
    cat "$1/metrics.jsonl" 2>/dev/null | grep -c '"event": "step"'
}

# value KEY STEP RUN: from the line of that step
value()
{
    sed -n "/\"event\": \"step\".*\"step\": $2,/s/.*\"$1\": \([^,}]*\).*/\1/p" "$3/metrics.jsonl"
}

# same_state RUN RUN: the newest checkpoints are the same bits.
same_state()
{
    local a b file
    a=$(ls -d "$1"/checkpoints/step-* | tail -n 1)
    b=$(ls -d "$2"/checkpoints/step-* | tail -n 1)
    [ "${a##*/}" = "${b##*/}" ] || { echo "  $a against $b"; return 1; }
    for file in "$a"/*.h5; do
        cmp "$file" "$b/${file##*/}" || return 1
    done
}

# kill_within RUN: waits until the job of $pid has made one step more than RUN's metrics have, then kills all its processes at once at a random moment of
# the next 0.7 s. Fails if the job has ended by itself.
kill_within()
{
    local before i
    before=$(steps_in "$1")
    for i in $(seq 2400); do
        [ "$(steps_in "$1")" -gt "$before" ] && break
        gone $pid && break
        sleep 0.025
    done
    sleep "$(printf '0.%03d' $((RANDOM % 700)))"
    kill -9 $pid $(children $pid) $(ranks_of $pid) 2>/dev/null
    end_job
    [ $code -eq 137 ]
}

begin "two ranks and the same seed give the same bits, for any number of decoding threads"
expect_exit 0 ranks 2 "$DTRAIN" "${job[@]}" --batch 4 --steps 4 --out a --workers 1 --export a.safetensors
expect_exit 0 ranks 2 "$DTRAIN" "${job[@]}" --batch 4 --steps 4 --out b --workers 1 --export b.safetensors
expect_exit 0 ranks 2 "$DTRAIN" "${job[@]}" --batch 4 --steps 4 --out c --workers 4 --export c.safetensors
expect same_state a b
expect cmp a.safetensors b.safetensors
expect cmp a.safetensors c.safetensors

for n in 1 2; do
    begin "all processes of $n rank(s) killed repeatedly: the weights are those of an undisturbed run"
    job_n=(--batch $((8 / n)) --checkpoint-every 1)
    if [ $n = 1 ]; then launch=(); else launch=(ranks $n); fi
    [ "$_state" = skipped ] || {
        expect_exit 0 "${launch[@]}" "$DTRAIN" "${job[@]}" "${job_n[@]}" --out undisturbed --export undisturbed.safetensors
        kills=0
        for i in 1 2 3 4 5 6; do
            start_job "${launch[@]}" "$DTRAIN" "${job[@]}" "${job_n[@]}" --out killed --export killed.safetensors
            kill_within killed || break
            kills=$((kills + 1))
        done
        expect test $kills -ge 2
        expect_exit 0 "${launch[@]}" "$DTRAIN" "${job[@]}" "${job_n[@]}" --out killed --export killed.safetensors
        expect cmp undisturbed.safetensors killed.safetensors
        expect same_state undisturbed killed
        expect test "$(steps_in killed)" = 18
        expect test -z "$(find killed -name '*.tmp*')"
        [ "$_state" = passed ] || echo "  the moments were those of DTRAIN_TEST_MOMENTS=$seed, $kills kills"
    }
done

begin "a checkpoint gives the same weights on any number of ranks"
expect_exit 0 ranks 3 "$DTRAIN" "${job[@]}" --batch 4 --steps 2 --out run --export three.safetensors
for n in 1 2 4; do
    expect_exit 0 ranks $n "$DTRAIN" "${job[@]}" --batch 4 --steps 2 --out run --export other.safetensors
    expect_output 'nothing left to do'
    expect cmp three.safetensors other.safetensors
done

# The same micro-batches in each step: the loss of the next step shows at once whether the images are the same.
begin "a job that resumes on another number of ranks continues with the same images"
expect_exit 0 ranks 2 "$DTRAIN" "${job[@]}" --batch 4 --steps 9 --checkpoint-every 1 --out undisturbed
expect_exit 0 ranks 2 "$DTRAIN" "${job[@]}" --batch 4 --steps 4 --checkpoint-every 1 --out run
expect_exit 0 "$DTRAIN" "${job[@]}" --batch 4 --accumulate 2 --steps 8 --checkpoint-every 1 --out run
expect_output 'going on after step 4, epoch 1'
expect_exit 0 ranks 2 "$DTRAIN" "${job[@]}" --batch 4 --steps 9 --out run
expect_output 'going on after step 8, epoch 2'
for step in 4 5 6 9; do
    [ "$_state" != skipped ] || break
    awk -v a="$(value loss $step undisturbed)" -v b="$(value loss $step run)" 'BEGIN { exit !(a > 0 && a - b < 0.01 * a && b - a < 0.01 * a) }' ||
        fail "step $step: loss $(value loss $step run), undisturbed $(value loss $step undisturbed)"
done

begin "a resume with other CPU instructions logs one line, and one with the same logs nothing"
isa() { sed -n 's/^ *"isa": "\([^"]*\)".*/\1/p' "$1/manifest.json" 2>/dev/null; }
expect_exit 0 "$DTRAIN" "${job[@]}" --backend cpu --batch 4 --steps 1 --out a
[ "$_state" = skipped ] || case $(isa a/checkpoints/step-00000001) in
sse41 | '') skip "oneDNN has one set of instructions on this processor" ;;
esac
expect_exit 0 "$DTRAIN" "${job[@]}" --backend cpu --batch 4 --steps 2 --out a
expect_output 'going on after step 1'
expect_no_output 'computed with|computes'
expect_exit 0 ranks 2 env DNNL_MAX_CPU_ISA=SSE41 "$DTRAIN" "${job[@]}" --backend cpu --batch 2 --steps 3 --out a
expect_output '^dtrain: warning: step 2 was computed with isa [a-z0-9_]+, simd [-A-Z0-9]+, this start computes with isa sse41, simd baseline: training goes on'
expect test "$(grep -c 'was computed with' "$OUTPUT")" = 1
expect test "$(isa a/checkpoints/step-00000003)" = sse41
expect_exit 1 "$DTRAIN" inspect a --diff 2 3
expect_output '^computed_by isa .* sse41 .* does not count'
expect_exit 0 "$DTRAIN" inspect a
expect_output '^step 3 was computed with .* isa sse41, simd baseline, '
expect_output '^steps 1 to 2 were computed with '

begin "ranks with different CPU instructions are named, and their checkpoint records both"
expect_exit 0 ranks 2 sh -c 'isa=AVX2; [ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 0 ] || isa=SSE41; DNNL_MAX_CPU_ISA=$isa exec "$@"' sh \
    "$DTRAIN" "${job[@]}" --backend cpu --batch 2 --steps 1 --out a
[ "$_state" = skipped ] || case $(isa a/checkpoints/step-00000001) in
'avx2 + sse41') ;;
sse41 | '') skip "oneDNN has one set of instructions on this processor" ;;
*) fail "the checkpoint says $(isa a/checkpoints/step-00000001)" ;;
esac
expect_output 'what computes differs between ranks: isa avx2 on rank 0 \(.*\), isa sse41 on rank 1 \('

finish
