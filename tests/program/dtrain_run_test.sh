#!/bin/bash
# dtrain-run on one host: requests to stop, lost ranks and launchers, codes, restarts without progress, what it starts. Several hosts:
# dtrain_run_hosts_test.sh.
. "$(dirname "$0")/../lib.sh"

script=$TOP_SRCDIR/launch/deploy/dtrain-run
job=$TOP_BUILDDIR/tests/program/chaos_job # dtrain with a small network
unset SLURM_JOB_ID SLURM_RESTART_COUNT SLURM_JOB_NODELIST AWS_BATCH_JOB_ID AWS_BATCH_JOB_ATTEMPT DTRAIN_RUN_ID DTRAIN_RUN_START
"$DTRAIN" demo-data "$_base/data" >/dev/null || exit 99
export TMPDIR=$_base/tmp # nothing_left looks there: other tests also call dtrain-run
mkdir "$TMPDIR"
train=(--data "$_base/data" --arch resnet18 --image-size 16 --batch 4 --threads 1 --workers 1 --log-every 0 --eval-every 0 --out run)
run=("$script" --program "$job" --pause 0)

# Each process of a case has its folder in its environment: that is how nothing_left finds what it has left behind.
new_case()
{
    begin "$@"
    mkdir record
    export DT_CHAOS_RECORD=$TMP/record DT_CHAOS_PACE_MS=0
}

nothing_left()
{
    local left
    left=$(env -u DT_CHAOS_RECORD grep -lsF "DT_CHAOS_RECORD=$TMP/record" /proc/[0-9]*/environ)
    [ -z "$left" ] || fail "these processes are left: $(for file in $left; do tr '\0' ' ' <"${file%environ}cmdline"; echo; done)"
    expect test -z "$(ls -A "${TMPDIR:-/tmp}" | grep '^\.dtrain-run')" -a -z "$(ls -A . | grep '^\.dtrain-run')"
}

# start_run OPTION...: starts dtrain-run with these. A background job ignores Ctrl-C unless its default is restored.
start_run()
{
    start_job env --default-signal=INT,HUP "${run[@]}" "$@"
}

# reach N: waits until the run has done N steps.
reach()
{
    local i
    [ "$_state" != skipped ] || return 0
    for ((i = 0; i < TIME_LIMIT_S * 20; i++)); do
        [ "$(grep -c '"event": *"step"' run/metrics.jsonl 2>/dev/null)" -ge "$1" ] 2>/dev/null && return
        gone "$pid" && break
        sleep 0.05
    done
    fail "the run has not done $1 steps"
    tail -n 30 "$OUTPUT" | sed 's/^/    | /'
}

ended_with()
{
    end_job
    [ "$_state" = skipped ] || [ "$code" = "$1" ] || { fail "exit code $code, expected $1" && tail -n 30 "$OUTPUT" | sed 's/^/    | /'; }
}

ask() { [ "$_state" = skipped ] || kill -"$1" "$pid"; }

# The step of the last stop, and of the last line of the log.
stopped_at() { sed -n 's/^dtrain: stopped on SIGUSR1 after step \([0-9]*\).*/\1/p' "$OUTPUT" | tail -n 1; }

# log_has N REGEX: the run's log has N lines that match.
log_has()
{
    [ "$_state" != skipped ] || return 0
    [ "$(grep -Ec -e "$2" run/starts.log)" = "$1" ] || { fail "not $1 lines of starts.log match $2" && sed 's/^/    | /' run/starts.log; }
}

# armed: $job, whose DTRAIN_FAULT counts in the first start only.
armed()
{
    printf '#!/bin/sh\n[ "${DTRAIN_RUN_START:-1}" = 1 ] || unset DTRAIN_FAULT\nexec "%s" "$@"\n' "$job" >armed
    chmod +x armed
}

# undisturbed N: the run in $_base/undisturbed-N, 40 steps on N ranks, which all others must equal.
undisturbed()
{
    [ -d "$_base/undisturbed-$1" ] || [ "$_state" = skipped ] || expect_exit 0 ranks "$1" "$job" "${train[@]}" --steps 40 --checkpoint-every 10 --out "$_base/undisturbed-$1"
}

same_bits()
{
    local shard
    [ "$_state" != skipped ] || return 0
    for shard in $(cd "$_base/undisturbed-$1/checkpoints/step-00000040" && ls -- *.h5); do
        expect cmp "$_base/undisturbed-$1/checkpoints/step-00000040/$shard" run/checkpoints/step-00000040/$shard
    done
}

# -- requests to stop -----------------------------------------------------------------------------------------------------

for signal in TERM HUP INT; do
    new_case "SIG$signal stops two ranks with a checkpoint that takes two seconds, and code 75"
    DTRAIN_FAULT=store.fsync@0:1:sleep=2 start_run --ranks 2 "${train[@]}" --epochs 1000
    reach 2
    ask $signal
    ended_with 75
    expect_output "^dtrain: stopped on SIGUSR1 after step [0-9]+"
    step=$(stopped_at)
    expect test -f "run/checkpoints/step-$(printf %08d "$step")/manifest.json"
    log_has 1 ' start=1 job=- ranks=2 hosts=[^ ]+ step=0$'
    log_has 1 " end=1 code=75 step=$step asked=$signal\$"
    nothing_left
done

new_case "SIGTERM stops a single rank, which has no launcher; the same command goes on, and one that is done returns 0"
start_run --ranks 1 "${train[@]}" --epochs 1000
reach 2
ask TERM
ended_with 75
step=$(stopped_at)
expect_exit 0 "${run[@]}" --ranks 1 "${train[@]}" --epochs 1000 --steps $((step + 2))
expect_output "^dtrain-run: start 2: 1 rank on [^ ]+, after step $step of run\$"
log_has 1 " start=2 .* step=$step\$"
log_has 1 " end=2 code=0 step=$((step + 2))\$"
nothing_left

new_case "a request that comes before there are ranks ends dtrain-run, and leaves nothing"
for delay in 0.05 0.2 0.5; do
    start_run --ranks 2 "${train[@]}" --epochs 1000
    sleep $delay
    ask TERM
    end_job
    [[ $code = 75 || $code = 143 ]] || fail "exit code $code after $delay s" # 143: before the script has set its traps
    nothing_left
    expect test -z "$(ls run 2>/dev/null | grep -v -e starts.log -e config.conf -e metrics.jsonl -e checkpoints)"
done

new_case "a second Ctrl-C ends all at once with code 130"
DTRAIN_FAULT=store.fsync@0:1:sleep=60 start_run --ranks 2 "${train[@]}" --epochs 1000
reach 2
ask INT
sleep 1.5
began=$SECONDS
ask INT
ended_with 130
expect test $((SECONDS - began)) -le 15
log_has 1 ' end=1 code=130 step=0 asked=INT$'
nothing_left

new_case "Ctrl-C at a terminal reaches dtrain-run alone: the ranks write their checkpoint"
cat >terminal.py <<'PY'
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
def steps():
    try:
        return open("run/metrics.jsonl").read().count('"event": "step"')
    except OSError:
        return 0
end = time.time() + 60
os.set_blocking(fd, False)
asked = False
while time.time() < end:
    if not asked and steps() >= 2:
        os.write(fd, b"\x03")
        asked = True
    try:
        data = os.read(fd, 4096)
        if not data:
            break
        os.write(1, data)
    except BlockingIOError:
        time.sleep(0.05)
    except OSError:
        break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
expect_exit 75 env DTRAIN_FAULT=store.fsync@0:1:sleep=2 python3 terminal.py "${run[@]}" --ranks 2 "${train[@]}" --epochs 1000
expect_output 'stopped on SIGUSR1 after step'
log_has 1 ' end=1 code=75 step=[1-9][0-9]* asked=INT$'
nothing_left

new_case "with --grace, ranks that do not end are ended"
DTRAIN_FAULT=store.fsync@0:1:sleep=60 start_run --ranks 2 --grace 2 "${train[@]}" --epochs 1000
reach 2
ask TERM
ended_with 75
expect_output '^dtrain-run: the ranks have not ended within --grace 2 s: ending them'
nothing_left

new_case "after kill -9 of dtrain-run the ranks stop with a checkpoint"
if setpriv --pdeathsig USR1 true 2>/dev/null; then
    start_run --ranks 2 "${train[@]}" --epochs 1000
    reach 2
    ask KILL
    end_job
    for _ in {1..200}; do
        grep -q '^dtrain: stopped on SIGUSR1 after step' "$OUTPUT" && break
        sleep 0.05
    done
    expect_output '^dtrain: stopped on SIGUSR1 after step'
    for _ in {1..100}; do
        [ -n "$(env -u DT_CHAOS_RECORD grep -lsF "DT_CHAOS_RECORD=$TMP/record" /proc/[0-9]*/environ)" ] || break
        sleep 0.05
    done
    rm -f "${TMPDIR:-/tmp}"/.dtrain-run-*
    nothing_left
    expect_exit 0 "${run[@]}" --ranks 2 "${train[@]}" --epochs 1000 --steps $(($(stopped_at) + 1))
else
    skip "there is no setpriv"
fi

# As `docker stop` does: SIGTERM to process 1 of the container, and SIGKILL to it, and with it to all, after 10 s.
for ranks in $(if_long 1) 2; do
    new_case "as process 1 of a container with $ranks ranks, dtrain-run stops within 10 s"
    if [ "$(id -u)" = 0 ] && unshare --pid --fork --kill-child --mount-proc true 2>/dev/null; then
        DTRAIN_FAULT=store.fsync@0:1:sleep=2 start_job unshare --pid --fork --kill-child --mount-proc env --default-signal=INT "${run[@]}" --ranks $ranks "${train[@]}" \
            --epochs 1000
        reach 2
        first=$(children "$pid") # process 1 there
        began=$SECONDS
        [ "$_state" = skipped ] || kill -TERM "$first"
        while ! gone "$pid" && [ $((SECONDS - began)) -lt 10 ]; do sleep 0.1; done
        [ "$_state" = skipped ] || gone "$pid" || { fail "it has not ended within 10 s" && kill -KILL "$first"; }
        ended_with 75
        expect test -f "run/checkpoints/step-$(printf %08d "$(stopped_at)")/manifest.json"
        log_has 1 ' end=1 code=75 step=[1-9][0-9]* asked=TERM$'
        nothing_left
    else
        skip "only root can make a namespace of processes here"
    fi
done

# -- restarts -------------------------------------------------------------------------------------------------------------

for fault in train.step@0:25:kill $(if_long train.step@1:25:kill) comm.all_gather@1:1:kill; do
    new_case "a killed rank ($fault): the training starts again and ends with the same bits"
    undisturbed 2
    armed
    export DT_CHAOS_PACE_MS=20 # a checkpoint is written while later steps run
    expect_exit 0 env DTRAIN_FAULT=$fault "${run[@]}" --program ./armed --ranks 2 "${train[@]}" --steps 40 --checkpoint-every 10
    case $fault in
    train.step*) step='[12]0' ;; # that of step 20 may still be under way
    *) step=0 ;; # killed before there was a folder of the run
    esac
    expect_output "^dtrain-run: start 1 ended with code ($KILLED_CODE) after step $step\$"
    log_has 2 ' start='
    log_has 1 " end=1 code=($KILLED_CODE) step=$step\$"
    log_has 1 ' end=2 code=0 step=40$'
    same_bits 2
    nothing_left
done

new_case "a killed launcher: nothing of the start is left, and the training starts again"
undisturbed 2
export DT_CHAOS_PACE_MS=50
start_run --ranks 2 "${train[@]}" --steps 40 --checkpoint-every 10
reach 15
launcher=$(children "$pid" | head -n 1)
[ "$_state" = skipped ] || kill -KILL "$launcher"
ended_with 0
expect_output '^dtrain-run: start 1 ended with code 137 after step [1-3]0$'
same_bits 2
nothing_left

new_case "an error that a restart would repeat is not restarted, and a start that fails makes no folder"
for wrong in '--resume must' '--data nowhere' '--bacth 4'; do
    expect_exit '1|2' "${run[@]}" --ranks 2 "${train[@]}" --steps 1 $wrong
    [ "$_state" = skipped ] || [ "$(grep -c '^dtrain-run: start ' "$OUTPUT")" -le 1 ] || fail "$wrong: started again"
    expect test ! -e run
    nothing_left
done
expect_exit 0 "${run[@]}" "${train[@]}" --steps 2
expect_exit 1 env DTRAIN_FAULT=loader.read:1:always "${run[@]}" --ranks 2 "${train[@]}" --steps 9 --max-broken 0
log_has 1 ' end=2 code=1 step=2$'

new_case "without progress dtrain-run starts again --max-restarts times with growing pauses, and gives up with code 1"
expect_exit 1 env DTRAIN_FAULT=train.step:3:kill "${run[@]}" --max-restarts 3 --pause 1 "${train[@]}" --steps 40 --checkpoint-every 10
expect test "$(grep -o 'starting again in .*' "$OUTPUT" | tr '\n' ' ')" = 'starting again in 1 s starting again in 2 s starting again in 4 s '
expect_output '^dtrain-run: 4 starts in a row without a checkpoint after that of step 0, and --max-restarts is 3: giving up$'
log_has 4 ' end=[1-4] code=137 step=0$'
log_has 1 ' gave-up=4 starts=4 step=0$'

new_case "where each start leaves a newer checkpoint, no restart counts"
export DT_CHAOS_PACE_MS=50
expect_exit 0 env DTRAIN_FAULT=train.step:6:kill "${run[@]}" --max-restarts 0 "${train[@]}" --steps 9 --checkpoint-every 2
expect test "$(grep -c '^dtrain-run: starting again in 0 s' "$OUTPUT")" -ge 1
log_has 1 ' end=[2-4] code=0 step=9$'

new_case "--once returns 75 where a restart would go on, and 1 after --max-restarts, which it counts in the run's log"
export DT_CHAOS_PACE_MS=50
once=(env DTRAIN_FAULT=train.step:6:kill "${run[@]}" --once --max-restarts 2 "${train[@]}" --steps 40 --checkpoint-every 10)
for want in 75 75 1 75; do expect_exit $want "${once[@]}"; done # the last: a new series begins after it has given up
log_has 1 ' gave-up=3 starts=3 step=0$'
# A start whose end is not in the log, because its host was lost, counts too.
[ "$_state" = skipped ] || sed -i '/ end=4 /d' run/starts.log
expect_exit 75 "${once[@]}"
expect_exit 1 "${once[@]}"
# After a new checkpoint nothing counts.
expect_exit 75 env DTRAIN_FAULT=train.step:6:kill "${run[@]}" --once --max-restarts 0 "${train[@]}" --steps 40 --checkpoint-every 2
expect_exit 0 "${run[@]}" --once "${train[@]}" --steps 10 --checkpoint-every 2

new_case "--resume never begins one run, which the restarts of the same call resume"
armed
expect_exit 0 "${run[@]}" "${train[@]}" --steps 3
export DT_CHAOS_PACE_MS=20
expect_exit 0 env DTRAIN_FAULT=train.step:25:kill "${run[@]}" --program ./armed "${train[@]}" --steps 40 --checkpoint-every 10 --resume never
expect_output 'going on after step [12]0'
expect test -d run.old-1 -a ! -e run.old-2
log_has 2 ' (start|end)=1 '
log_has 2 ' (start|end)=2 '
expect test "$(grep -cs start= run.old-1/starts.log)" = 1
# A call that is repeated begins again.
expect_exit 0 "${run[@]}" "${train[@]}" --steps 1 --resume never
expect test -d run.old-2

# -- launchers ------------------------------------------------------------------------------------------------------------

new_case "the code that a rank reports counts, whatever the launcher returns"
need_mpi openmpi4 openmpi5 && {
    printf '#!/bin/sh\n"%s" "$@"\n[ "$1" = --version ] || exit "$LIE"\n' "$MPIRUN" >liar
    chmod +x liar
    armed
    export DT_CHAOS_PACE_MS=20
    expect_exit 0 env LIE=0 DTRAIN_FAULT=train.step@0:25:kill "${run[@]}" --program ./armed --mpirun ./liar --ranks 2 "${train[@]}" --steps 40 --checkpoint-every 10
    expect_output '^dtrain-run: start 1 ended with code 0 after step [12]0$'
    rm -rf run
    expect_exit 0 env LIE=137 "${run[@]}" --mpirun ./liar --ranks 2 "${train[@]}" --steps 2
    expect_exit 2 env LIE=137 "${run[@]}" --mpirun ./liar --ranks 2 "${train[@]}" --out other --resume must
    expect test "$(grep -c '^dtrain-run: start' "$OUTPUT")" = 1
}

new_case "a launcher that does not end after its ranks is ended"
need_mpi openmpi4 openmpi5 && long_case && {
    printf '#!/bin/sh\n"%s" "$@"\n[ "$1" = --version ] || exec sleep 600\n' "$MPIRUN" >stuck
    chmod +x stuck
    expect_exit 0 "${run[@]}" --mpirun ./stuck --ranks 2 "${train[@]}" --steps 2
    expect_output '^dtrain-run: the ranks have ended with code 0, but \./stuck has not: ending it$'
    nothing_left
}

# launched KIND OPTION...: what dtrain-run with these options starts by the launcher KIND, which only prints its words.
launched()
{
    local kind=$1
    shift
    printf '#!/bin/sh\n[ "$1" != --version ] || { echo "%s"; exit; }\necho "words: $*"\necho 0 >"$DTRAIN_EXIT_FILE"\n' "$kind" >launcher
    chmod +x launcher
    expect_exit 0 env PATH="$PWD:$PATH" "${run[@]}" --mpirun ./launcher "$@" "${train[@]}"
    words=$(sed -n 's/^words: //p' "$OUTPUT")
    words=${words%" $job "*}
}
expect_words() { [ "$_state" = skipped ] || [ "$words" = "$1" ] || fail "the launcher's words are '$words', expected '$1'"; }
v4='mpirun (Open MPI) 4.1.4  Report bugs to http://www.open-mpi.org/community/help/'
v5='mpirun (Open MPI) 5.0.7  Report bugs to https://www.open-mpi.org/community/help/'
hydra='HYDRA build details:'
exports='-x DTRAIN_EXIT_FILE -x DTRAIN_RUN_START -x DTRAIN_RUN_ID'

new_case "the options of each launcher, on this host"
launched "$v4" --ranks 2
expect_words '--bind-to none -np 2 --oversubscribe'
launched "$v5" --ranks 3
expect_words '--bind-to none -np 3 --oversubscribe'
launched "$hydra" --per-host 2
expect_words '-n 2'
launched "$v4" --mpirun './launcher --map-by core -x A' --ranks 2
expect_words '--map-by core -x A -np 2 --oversubscribe'
launched "slurm-wlm 22.05.8" --mpirun './launcher --mpi=pmix' --ranks 4
expect_words '--mpi=pmix -n 4'

new_case "the options of each launcher, with a hostfile"
cat >hosts <<'END'
# two machines
a slots=2

b:4    # the larger one
END
launched "$v4" --hostfile hosts --rsh 'ssh -p 2222'
expect_words "--bind-to none --mca plm_rsh_agent ssh -p 2222 --host a:2,b:4 -np 6 $exports"
expect_output '^dtrain-run: start 1: 6 ranks on a:2,b:4'
launched "$v5" --hostfile hosts --rsh rsh --ranks 5
expect_words "--bind-to none --prtemca plm_ssh_agent rsh --host a:2,b:4 -np 5 $exports"
launched "$hydra" --hostfile hosts --per-host 3
expect_words '-hosts a:3,b:3 -ppn 3 -n 6'
printf 'a\nb\nc max_slots=9\n' >hosts
launched "$v4" --hostfile hosts
expect_words "--bind-to none --host a:1,b:1,c:1 -np 3 $exports"
launched "$v4" --hostfile hosts --ranks 4
expect_words "--bind-to none --host a:2,b:2,c:2 -np 4 $exports"
echo '# none' >hosts
expect_exit 2 "${run[@]}" --hostfile hosts "${train[@]}"
expect_output '^dtrain-run: --hostfile hosts: it names no host$'

new_case "in a job of Slurm the launcher knows hosts and ranks"
export SLURM_JOB_ID=77 SLURM_JOB_NODELIST='node[1-2]' SLURM_JOB_NUM_NODES=2 SLURM_NTASKS=16
launched "$v4"
expect_words "--bind-to none $exports"
mkdir -p run
launched "$v4" --once
expect_words '--bind-to none -x DTRAIN_EXIT_FILE -x DTRAIN_RUN_START'
expect_output "^dtrain-run: start 1: Slurm's tasks on node\[1-2\], after step 0 of run\$"
log_has 1 ' start=1 job=77 ranks=16 hosts=node\[1-2\] step=0$'
launched "$v4" --per-host 4
expect_words "--bind-to none -np 8 --map-by ppr:4:node $exports"
launched "$hydra" --per-host 4
expect_words '-ppn 4 -n 8'
unset SLURM_JOB_ID SLURM_JOB_NODELIST SLURM_JOB_NUM_NODES SLURM_NTASKS

new_case "another command of dtrain runs once on the same ranks"
expect_exit 0 "${run[@]}" --ranks 2 -- info
expect_output 'started by .*rank 1 of 2'
expect_exit 2 "${run[@]}" --ranks 2 -- inspect nowhere
expect test "$(grep -c '^dtrain-run: start' "$OUTPUT")" = 1 -a ! -e run

# -- the script itself ----------------------------------------------------------------------------------------------------

new_case "wrong usage is one line and code 2"
while read -r words; do
    expect_exit 2 "$script" $words
    expect test "$(wc -l <"$OUTPUT")" = 1
    expect_output '^dtrain(-run)?: '
done <<'END'
--ranks
--ranks 0
--ranks x
--ranks 2 --per-host 2
--pause 1.5
--max-restarts -1
--hostfile nowhere
--program nowhere
--program= --data x
END
expect_exit 2 "${run[@]}" --mpirun nowhere "${train[@]}"
expect_output '^dtrain-run: there is no nowhere here: '
expect_exit 2 "${run[@]}" "${train[@]}" --ranks 2
expect_output '^dtrain: unknown option --ranks; '

new_case "--help names every option, --version is dtrain's"
expect_exit 0 "$script" --help
for option in $(sed -n 's/^    --ranks | \(.*\))$/--ranks | \1/p' "$script" | tr -d '|') --once; do expect_output "^ +$option\b"; done
expect test "$(wc -L <"$OUTPUT")" -le 88
expect_exit 0 "$script" --program "$DTRAIN" --version
expect_output '^dtrain [0-9]+\.'

for shell in dash 'bash --posix' 'busybox sh' mksh; do
    new_case "it works in $shell"
    command -v ${shell%% *} >/dev/null || skip "there is no ${shell%% *}"
    [ "$shell" = dash ] || long_case
    armed
    undisturbed 1
    [ "$_state" = skipped ] || DT_CHAOS_PACE_MS=20 expect_exit 0 env DTRAIN_FAULT=train.step:25:kill $shell "$script" --program ./armed --pause 0 "${train[@]}" --steps 40 --checkpoint-every 10
    same_bits 1
    rm -rf run
    start_job env --default-signal=INT,HUP $shell "$script" --program "$job" --mpirun "$MPIRUN" --ranks 2 "${train[@]}" --epochs 1000
    reach 2
    ask HUP
    ended_with 75
    nothing_left
done

new_case "shellcheck finds nothing in it"
if command -v shellcheck >/dev/null; then expect_exit 0 shellcheck "$script"; else skip "there is no shellcheck"; fi

finish
