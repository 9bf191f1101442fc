/* Limits of control groups, read from folders that look like a root file system. */
#include "launch/hardware/cgroup.h"

#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V2 "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
#define V1                                                                                                   \
    "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"                            \
    "32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static const char *root;
static int n_roots;

static void start(const char *groups, const char *mounts)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/root%d", dt_test_temp_dir(), n_roots++);
    root = path;
    DT_REQUIRE(system(dt_test_path("mkdir -p %s/proc/self", root)) == 0);
    dt_test_write_file(dt_test_path("%s/proc/self/cgroup", root), groups, strlen(groups));
    dt_test_write_file(dt_test_path("%s/proc/self/mountinfo", root), mounts, strlen(mounts));
}

static void put(const char *folder, const char *file, const char *text)
{
    DT_REQUIRE(system(dt_test_path("mkdir -p '%s/sys/fs/cgroup%s'", root, folder)) == 0);
    dt_test_write_file(dt_test_path("%s/sys/fs/cgroup%s/%s", root, folder, file), text, strlen(text));
}

static void check(double cpus, double memory_bytes)
{
    dt_cgroup limits;
    dt_cgroup_read(root, &limits);
    DT_CHECK_CLOSE(limits.cpus, cpus, 1e-9);
    DT_CHECK_CLOSE(limits.memory_bytes, memory_bytes, 1e-9);
}

static void the_least_limit_of_all_groups_above_counts(void)
{
    start("0::/a/b/c\n", V2);
    put("/a/b/c", "cpu.max", "max 100000\n");
    put("/a/b", "cpu.max", "350000 100000\n");
    put("/a", "cpu.max", "150000 100000\n");
    put("/a/b", "memory.max", "1000000\n");
    put("/a", "memory.max", "max\n");
    check(1.5, 1e6);
    start("0::/a/b\n", V2);
    put("/a/b", "cpu.max", "150000 100000\n");
    put("/a", "cpu.max", "350000 100000\n");
    put("/a/b", "memory.max", "5000\n");
    put("/a", "memory.max", "1000000\n");
    check(1.5, 5000);
}

/* The kernel's "no limit" is the largest multiple of a page below 2^63. */
static void no_limit_of_version_1_is_none(void)
{
    start("5:memory:/a\n4:cpu,cpuacct:/a\n", V1);
    put("/memory/a", "memory.limit_in_bytes", "9223372036854771712\n");
    put("/memory", "memory.limit_in_bytes", "9223372036854771712\n");
    put("/cpu,cpuacct/a", "cpu.cfs_quota_us", "-1\n");
    put("/cpu,cpuacct/a", "cpu.cfs_period_us", "100000\n");
    check(0, 0);
    put("/memory/a", "memory.limit_in_bytes", "900000000000000000\n"); /* 0.9 exabytes are a limit */
    check(0, 9e17);
}

static void version_1_is_read_where_it_is_mounted(void)
{
    start("5:memory:/a\n4:cpu,cpuacct:/a/b\n", V1);
    put("/cpu,cpuacct/a/b", "cpu.cfs_quota_us", "-1\n");
    put("/cpu,cpuacct/a/b", "cpu.cfs_period_us", "100000\n");
    put("/cpu,cpuacct/a", "cpu.cfs_quota_us", "250000\n");
    put("/cpu,cpuacct/a", "cpu.cfs_period_us", "100000\n");
    put("/memory/a", "memory.limit_in_bytes", "9223372036854771712\n");
    put("/memory", "memory.limit_in_bytes", "5000\n");
    check(2.5, 5000);
}

static void both_versions_side_by_side_count(void)
{
    start("4:cpu,cpuacct:/a\n0::/b\n", V1 "33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("/cpu,cpuacct/a", "cpu.cfs_quota_us", "300000\n");
    put("/cpu,cpuacct/a", "cpu.cfs_period_us", "100000\n");
    put("/unified/b", "cpu.max", "400000 100000\n");
    put("/unified/b", "memory.max", "7000\n");
    check(3, 7000);
}

/* docker with the host's namespace of groups: the mount's root is the container's group. */
static void a_mount_of_a_part_of_the_hierarchy_is_understood(void)
{
    start("0::/docker/x/job\n", "30 24 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("/job", "cpu.max", "200000 100000\n");
    put("", "cpu.max", "100000 50000\n");
    check(2, 0);
    start("0::/docker/xyz\n", "30 24 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("", "cpu.max", "100000 50000\n");
    put("yz", "cpu.max", "1000 50000\n");
    check(2, 0);
    start("0::/../other\n", V2);
    put("", "cpu.max", "100000 20000\n");
    check(5, 0);
}

static void without_mountinfo_the_usual_folders_are_read(void)
{
    start("0::/a\n", "");
    put("/a", "cpu.max", "100000 100000\n");
    check(1, 0);
}

static void without_groups_there_is_no_limit(void)
{
    start("", "");
    check(0, 0);
    root = "/nowhere";
    check(0, 0);
}

static const dt_test tests[] = {
    DT_TEST(the_least_limit_of_all_groups_above_counts),
    DT_TEST(no_limit_of_version_1_is_none),
    DT_TEST(version_1_is_read_where_it_is_mounted),
    DT_TEST(both_versions_side_by_side_count),
    DT_TEST(a_mount_of_a_part_of_the_hierarchy_is_understood),
    DT_TEST(without_mountinfo_the_usual_folders_are_read),
    DT_TEST(without_groups_there_is_no_limit),
};
DT_TEST_MAIN("launch/cgroup", tests)
