#!/bin/bash
# The script with which a cluster's head node builds dtrain: on a small archive that builds like dtrain, with programs in place of AWS's, apt-get and
# pip; and (long) on dtrain's own archive.
. "$(dirname "$0")/../lib.sh"

SCRIPT=$TOP_SRCDIR/launch/deploy/parallelcluster/bootstrap.sh

# fake NAME: a program in ./bin; its script comes from standard input.
fake()
{
    mkdir -p bin
    { echo '#!/bin/bash'; cat; } >"bin/$1"
    chmod +x "bin/$1"
}

# What the script finds on a head node.
head_node()
{
    mkdir -p shared store libs opt/mpi/bin cuda/bin
    fake aws <<'END'
[ "$1 $2 $3" = "s3 cp --only-show-errors" ] || { echo "aws $*"; exit 1; }
cp "store/${4#s3://images/}" "$5"
END
    echo 'echo "$*" >>apt.log' | fake apt-get
    fake python3 <<'END'
echo "$*" >>pip.log
while [ "$1" != --target ]; do shift; done
for name in cudnn nccl; do
    mkdir -p "$2/nvidia/$name/include" "$2/nvidia/$name/lib"
    touch "$2/nvidia/$name/include/$name.h" "$2/nvidia/$name/lib/lib$name.so.9"
done
END
    printf '#!/bin/sh\necho "Cuda compilation tools, release 13.0, V13.0.88"\n' >cuda/bin/nvcc
    printf '#!/bin/sh\n' >opt/mpi/bin/mpicc
    chmod +x cuda/bin/nvcc opt/mpi/bin/mpicc
}

# archive NAME VERSION: an archive in the store, whose dtrain needs a library of its own.
archive()
{
    rm -rf "dtrain-$2" && mkdir -p "dtrain-$2/autotools"
    cat >"dtrain-$2/autotools/packages.txt" <<'END'
# Debian, Ubuntu  Amazon Linux, Fedora  needed for  purpose
gcc               gcc                   build       C11 compiler
libopenmpi-dev    openmpi-devel         build       communication
openmpi-bin       openmpi               build       mpirun
libcurl4-dev      libcurl-devel         option      notices
libcunit1-dev     CUnit-devel           option      unit tests
-                 libasan               test        a test
iproute2          iproute               test        two hosts
END
    cat >"dtrain-$2/dtrain.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
const char *tiny(void);
int main(int argc, char **argv) { return argc > 1 && strcmp(argv[1], BROKEN) == 0 ? 1 : printf("dtrain %s %s\n", VERSION, tiny()) < 0; }
END
    echo 'const char *tiny(void) { return "with its library"; }' >"dtrain-$2/tiny.c"
    cat >"dtrain-$2/configure" <<END
#!/bin/bash
printf '%s\n' "\$@" >"$PWD/configure.log"
for word; do case \$word in --prefix=*) prefix=\${word#*=} ;; LDFLAGS=*) flags=\${word#*=} ;; esac; done
cat >Makefile <<MAKE
all:
	cc -shared -fPIC -o $PWD/libs/libtiny.so tiny.c
	cc -DVERSION='"$2"' -DBROKEN='"\$(cat "$PWD/broken" 2>/dev/null)"' -o dtrain dtrain.c -L$PWD/libs -ltiny \$flags -Wl,-rpath,$PWD/libs
install:
	mkdir -p \\\$(DESTDIR)\$prefix/bin && cp dtrain \\\$(DESTDIR)\$prefix/bin
MAKE
END
    chmod +x "dtrain-$2/configure"
    tar -cJf "store/$1" "dtrain-$2"
}

# bootstrap CODE SOURCE [ARCHS]
bootstrap()
{
    local code=$1
    shift
    expect_exit "$code" env PATH="$PWD/bin:$PATH" DTRAIN_PREFIX="$PWD/shared/dtrain" DTRAIN_LOG="$PWD/log" DTRAIN_PROFILE="$PWD/profile.sh" \
        CUDA_HOME="$PWD/cuda" DTRAIN_MPI="$PWD/opt/mpi" bash "$SCRIPT" "$@"
}

begin "dtrain is built into the shared folder with its libraries"
head_node
archive dtrain-9.1.tar.xz 9.1
bootstrap 0 s3://images/dtrain-9.1.tar.xz 80,90
expect_output '^dtrain bootstrap: done: dtrain 9.1 with its library in '
for word in "--prefix=$PWD/shared/dtrain" --without-cunit "--with-mpi=$PWD/opt/mpi" "--with-cuda=$PWD/cuda" --enable-cuda-archs=80,90 \
    "--with-cudnn=$PWD/shared/dtrain-libraries/nvidia/cudnn" "--with-nccl=$PWD/shared/dtrain-libraries/nvidia/nccl"; do
    expect grep -qxF -e "$word" configure.log
done
expect test "$(tail -n 1 apt.log | sed 's/.*--no-install-recommends//')" = " make xz-utils gcc libcurl4-dev python3-pip"
expect grep -q 'nvidia-cudnn-cu13 nvidia-nccl-cu13' pip.log
expect test "$(readlink shared/dtrain-libraries/nvidia/cudnn/lib/libcudnn.so)" = libcudnn.so.9
rm -r libs # the head node's own
expect test "$(shared/dtrain/bin/dtrain version)" = "dtrain 9.1 with its library"
expect test "$(sh -c ". ./profile.sh && echo \$PATH")" = "$PWD/shared/dtrain/bin:$PWD/opt/mpi/bin:$PATH"
expect test "$(stat -c %a shared/runs)" = 1777
expect test "$(ls -d shared/* | xargs -n 1 basename | xargs)" = "dtrain dtrain-libraries runs"

begin "the same is not built again, and something else is"
head_node
archive dtrain-9.1.tar.xz 9.1
archive dtrain-9.2.tar.xz 9.2
bootstrap 0 s3://images/dtrain-9.1.tar.xz none
expect grep -qxF -e --without-cuda configure.log
expect test ! -e pip.log
rm configure.log
bootstrap 0 s3://images/dtrain-9.1.tar.xz none
expect_output 'has this dtrain already$'
expect test ! -e configure.log
bootstrap 0 s3://images/dtrain-9.1.tar.xz
expect grep -q -e --with-cuda configure.log
expect test -z "$(grep enable-cuda-archs configure.log)"
bootstrap 0 s3://images/dtrain-9.2.tar.xz
expect test "$(shared/dtrain/bin/dtrain version)" = "dtrain 9.2 with its library"
expect test "$(shared/dtrain.old/bin/dtrain version)" = "dtrain 9.1 with its library"

begin "a step that fails is named with its output, and the older dtrain stays"
head_node
archive dtrain-9.1.tar.xz 9.1
bootstrap 0 s3://images/dtrain-9.1.tar.xz none
archive dtrain-9.2.tar.xz 9.2
bootstrap 1 s3://images/dtrain-9.3.tar.xz none
expect_output "dtrain-9.3.tar.xz': No such file"
expect_output '^dtrain bootstrap: failed: fetching s3://images/dtrain-9.3.tar.xz; the whole output is in '
sed -i 's/return "with/give "with/' dtrain-9.2/tiny.c
tar -cJf store/broken.tar.xz dtrain-9.2
bootstrap 1 s3://images/broken.tar.xz none
expect_output 'tiny.c:1:.*error'
expect_output '^dtrain bootstrap: failed: building; '
echo info >broken # it builds, and does not run
bootstrap 1 s3://images/dtrain-9.2.tar.xz none
expect_output '^dtrain bootstrap: failed: trying it; '
rm broken
expect test "$(shared/dtrain/bin/dtrain version)" = "dtrain 9.1 with its library"
expect test "$(cat shared/dtrain/bootstrapped)" = "s3://images/dtrain-9.1.tar.xz none"
expect test "$(ls -d shared/* | xargs -n 1 basename | xargs)" = "dtrain runs"
echo 'exit 100' | fake apt-get
bootstrap 1 s3://images/dtrain-9.2.tar.xz none
expect_output '^dtrain bootstrap: failed: installing packages; '

begin "a library that is nowhere ends the build"
head_node
archive dtrain-9.1.tar.xz 9.1
sed -i 's| -Wl,-rpath,[^ ]*/libs$||' dtrain-9.1/configure
tar -cJf store/dtrain-9.1.tar.xz dtrain-9.1
bootstrap 1 s3://images/dtrain-9.1.tar.xz none
expect_output 'libtiny.so: not found'
expect_output '^dtrain bootstrap: failed: collecting libraries; '

begin "a git repository is fetched too, and its configure is made"
command -v git >/dev/null || skip "there is no git here"
head_node
archive dtrain-9.1.tar.xz 9.1
mv dtrain-9.1/configure dtrain-9.1/configure.in
printf '#!/bin/sh\ncp configure.in configure\n' >dtrain-9.1/autotools/bootstrap
chmod +x dtrain-9.1/autotools/bootstrap
(cd dtrain-9.1 && git init -q . && git add . && git -c user.name=me -c user.email=me@localhost commit -qm first) >/dev/null
git clone -q --bare dtrain-9.1 dtrain.git
bootstrap 0 "$PWD/dtrain.git" none
expect test "$(shared/dtrain/bin/dtrain version)" = "dtrain 9.1 with its library"

begin "a machine that is no head node is named"
head_node
rm cuda/bin/nvcc
bootstrap 1 s3://images/dtrain-9.1.tar.xz 80
expect_output "^dtrain bootstrap: failed: there is no $PWD/cuda/bin/nvcc: not an image of ParallelCluster's\? ARCHS none builds without GPUs$"
bootstrap 1
expect_output '^dtrain bootstrap: failed: usage: bootstrap.sh SOURCE \[ARCHS\]$'
expect test -z "$(ls shared)"

begin "dtrain's own archive is built, and trains"
if long_case && need_clean_source; then
    TIME_LIMIT_S=1200
    head_node
    expect_exit 0 make -C "$TOP_BUILDDIR" dist
    cp "$TOP_BUILDDIR/dtrain-$("$DTRAIN" version | sed 's/.* //').tar.xz" store/dtrain.tar.xz
    rm -r opt # the machine's MPI
    bootstrap 0 s3://images/dtrain.tar.xz none
    digits data 4 8 2
    expect_exit 0 shared/dtrain/bin/dtrain --data data --arch resnet18 --image-size 16 --batch 8 --epochs 1 --steps 1 "${ANY_BACKEND[@]}" --out run
    expect test -f shared/dtrain/share/dtrain/parallelcluster/network.yaml
    expect test -n "$(ls shared/dtrain/lib/libhdf5*)"
fi

finish
