/* What the kernel's files say of the processor, and whether the host is an EC2 instance. */
#include "launch/hardware/machine.h"

#include "tests/testing.h"

#include <string.h>
#include <sys/stat.h>

static dt_machine machine_of(const char *cpuinfo)
{
    dt_machine m = {.cpu_model = "left over", .cpu_features = "left over"};
    const char *path = dt_test_path("%s/cpuinfo", dt_test_temp_dir());
    dt_test_write_file(path, cpuinfo, strlen(cpuinfo));
    dt_machine_read_processor(&m, path);
    return m;
}

static void an_x86_processor_has_its_name_and_features(void)
{
    dt_machine m = machine_of(
        "processor\t: 0\nmodel name\t: Some Xeon @ 2.50GHz\nflags\t\t: fpu sse2 avx avx2 fma avx512fp16\n\n");
    DT_CHECK_STR(m.cpu_model, "Some Xeon @ 2.50GHz");
    DT_CHECK_STR(m.cpu_features, "avx avx2 fma");
}

static void arm_cores_are_named_after_their_part_numbers(void)
{
    dt_machine m =
        machine_of("processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd evtstrm sve bf16\nCPU "
                   "implementer\t: 0x41\n"
                   "CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\nCPU revision\t: 1\n");
    DT_CHECK_STR(m.cpu_model, "Arm Neoverse-V1 (Graviton3)");
    DT_CHECK_STR(m.cpu_features, "asimd sve");
}

static void an_unknown_arm_core_shows_its_part_number(void)
{
    dt_machine m = machine_of("Features\t: fp\nCPU implementer\t: 0x61\nCPU part\t: 0xd40\n");
    DT_CHECK_STR(m.cpu_model, "implementer 0x61, part 0xd40");
    DT_CHECK_STR(m.cpu_features, "");
}

static void missing_lines_give_empty_texts(void)
{
    dt_machine m = machine_of("processor\t: 0\nhart\t: 1\nisa\t: rv64imafdc\n");
    DT_CHECK_STR(m.cpu_model, "");
    DT_CHECK_STR(m.cpu_features, "");
}

static void firmware_identifies_ec2(void)
{
    static const struct {
        const char *folder, *file, *text;
        bool is_ec2;
    } cases[] = {
        {"class/dmi/id", "sys_vendor", "Amazon EC2\n", true},
        {"class/dmi/id", "sys_vendor", "QEMU\n", false},
        {"class/dmi/id", "board_asset_tag", "i-0abc\n", true},
        {"class/dmi/id", "board_asset_tag", "", false},
        {"hypervisor", "uuid", "ec2e1916-9099\n", true},
        {"hypervisor", "uuid", "0ec2\n", false},
    };
    DT_CHECK(!dt_machine_is_ec2(dt_test_path("%s/none", dt_test_temp_dir())));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *sys = dt_test_path("%s/sys%d", dt_test_temp_dir(), (int)i);
        static const char *const parts[] = {"", "/class", "/class/dmi", "/class/dmi/id", "/hypervisor"};
        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++)
            DT_REQUIRE(mkdir(dt_test_path("%s%s", sys, parts[k]), 0755) == 0);
        dt_test_write_file(dt_test_path("%s/%s/%s", sys, cases[i].folder, cases[i].file), cases[i].text,
                           strlen(cases[i].text));
        DT_CHECK_MSG(dt_machine_is_ec2(sys) == cases[i].is_ec2, "%s: %s", cases[i].file, cases[i].text);
    }
}

static const dt_test tests[] = {
    DT_TEST(an_x86_processor_has_its_name_and_features),
    DT_TEST(arm_cores_are_named_after_their_part_numbers),
    DT_TEST(an_unknown_arm_core_shows_its_part_number),
    DT_TEST(missing_lines_give_empty_texts),
    DT_TEST(firmware_identifies_ec2),
};
DT_TEST_MAIN("launch/machine", tests)
