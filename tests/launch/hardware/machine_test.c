/* What `dtrain info` says of the processor, from the kernel's text. */
#include "launch/hardware/machine.h"

#include "tests/testing.h"

#include <string.h>

static dt_machine machine_of(const char *cpuinfo)
{
    dt_machine m = {.cpu_model = "left over", .cpu_features = "left over"};
    const char *path = dt_test_path("%s/cpuinfo", dt_test_temp_dir());
    dt_test_write_file(path, cpuinfo, strlen(cpuinfo));
    dt_machine_read_processor(&m, path);
    return m;
}

static void x86_has_a_name_and_flags(void)
{
    dt_machine m = machine_of(
        "processor\t: 0\nmodel name\t: Some Xeon @ 2.50GHz\nflags\t\t: fpu sse2 avx avx2 fma avx512fp16\n\n");
    DT_CHECK_STR(m.cpu_model, "Some Xeon @ 2.50GHz");
    DT_CHECK_STR(m.cpu_features, "avx avx2 fma");
}

static void arm_cores_are_named_by_their_numbers(void)
{
    dt_machine m =
        machine_of("processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd evtstrm sve bf16\nCPU "
                   "implementer\t: 0x41\n"
                   "CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\nCPU revision\t: 1\n");
    DT_CHECK_STR(m.cpu_model, "Arm Neoverse-V1 (Graviton3)");
    DT_CHECK_STR(m.cpu_features, "asimd sve");
}

static void an_unknown_arm_core_is_its_numbers(void)
{
    dt_machine m = machine_of("Features\t: fp\nCPU implementer\t: 0x61\nCPU part\t: 0xd40\n");
    DT_CHECK_STR(m.cpu_model, "implementer 0x61, part 0xd40");
    DT_CHECK_STR(m.cpu_features, "");
}

static void without_such_lines_nothing_is_said(void)
{
    dt_machine m = machine_of("processor\t: 0\nhart\t: 1\nisa\t: rv64imafdc\n");
    DT_CHECK_STR(m.cpu_model, "");
    DT_CHECK_STR(m.cpu_features, "");
}

static const dt_test tests[] = {
    DT_TEST(x86_has_a_name_and_flags),
    DT_TEST(arm_cores_are_named_by_their_numbers),
    DT_TEST(an_unknown_arm_core_is_its_numbers),
    DT_TEST(without_such_lines_nothing_is_said),
};
DT_TEST_MAIN("launch/machine", tests)
