/* The user's files of instances, prices and rates: what they override and what is refused. */
#include "launch/estimate/catalog.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_error err;

enum kind { INSTANCES, PRICES, RATES };
static const char *const names[] = {"instances.json", "prices.json", "rates.json"};

static const char *write_text(enum kind kind, const char *text)
{
    const char *path = dt_test_path("%s/%s", dt_test_temp_dir(), names[kind]);
    dt_test_write_file(path, text, strlen(text));
    return path;
}

/* Loads the built-in data and a file of one kind. */
static dt_status load_path(enum kind kind, const char *path, dt_catalog **catalog)
{
    err = (dt_error){0};
    return dt_catalog_load(kind == INSTANCES ? path : NULL, kind == PRICES ? path : NULL,
                           kind == RATES ? path : NULL, catalog, &err);
}

static dt_catalog *load(enum kind kind, const char *text)
{
    dt_catalog *catalog = NULL;
    DT_REQUIRE_MSG(load_path(kind, write_text(kind, text), &catalog) == DT_OK, "%s", err.message);
    return catalog;
}

#define SOURCES                                                                                              \
    "{\"sources\": {\"me\": {\"text\": \"t\", \"date\": \"2026-11-01\", \"confidence\": \"measured\"}},\n"
#define IN(entries) SOURCES "\"instances\": [\n" entries "]}"
#define PR(entries) SOURCES "\"prices\": [\n" entries "]}"
#define RA(entries) SOURCES "\"rates\": [\n" entries "]}"

static void an_instance_changes_the_figures_that_it_names(void)
{
    dt_catalog *catalog =
        load(INSTANCES, IN("{\"type\": \"g5.xlarge\", \"source\": \"me\", \"ebs_mb_s\": 100},\n"
                           "{\"type\": \"g6e.2xlarge\", \"network_baseline_gbit\": "
                           "{\"value\": 5, \"source\": \"me\"}}"));
    const dt_instance *in = dt_catalog_find_instance(catalog, "g5.xlarge");
    DT_CHECK_INT(catalog->n_instances, 27);
    DT_CHECK(in->is_users && in->ebs_mb_s.value == 100 && strcmp(in->ebs_mb_s.source->text, "t") == 0);
    DT_CHECK_INT(in->ebs_mb_s.source->confidence, DT_CONFIDENCE_MEASURED);
    DT_CHECK(in->vcpus.value == 4 && in->vcpus.source->confidence == DT_CONFIDENCE_PUBLISHED);
    DT_CHECK_STR(in->gpu, "A10G");
    DT_CHECK(dt_catalog_find_instance(catalog, "g6e.2xlarge")->network_baseline_gbit.value == 5);
    DT_CHECK(!dt_catalog_find_instance(catalog, "g5.2xlarge")->is_users);
    dt_catalog_free(catalog);
}

/* No instance has the GPU of some built-in rates then, which is no mistake. */
static void the_gpu_of_an_instance_can_be_changed(void)
{
    dt_catalog *catalog =
        load(INSTANCES, IN("{\"type\": \"p4de.24xlarge\", \"gpus\": 16, \"gpu\": \"B200\"}"));
    const dt_instance *in = dt_catalog_find_instance(catalog, "p4de.24xlarge");
    DT_CHECK(in->n_gpus == 16 && in->cores.value == 48);
    DT_CHECK_STR(in->gpu, "B200");
    dt_catalog_free(catalog);
}

#define NEW_TYPE                                                                                             \
    "{\"type\": \"x9.large\", \"source\": \"me\", \"gpus\": 2, \"gpu\": \"X\", \"gpu_memory_gib\": 24,\n"    \
    "\"vcpus\": 8, \"cores\": 4, \"ram_gib\": 32, \"nvme_gb\": 0, \"unsupported\": "                         \
    "{\"text\": \"no\", \"source\": \"me\"}}"

static void a_new_type_is_added(void)
{
    dt_catalog *catalog = load(INSTANCES, IN(NEW_TYPE));
    const dt_instance *in = dt_catalog_find_instance(catalog, "x9.large");
    DT_CHECK_INT(catalog->n_instances, 28);
    DT_REQUIRE(in != NULL);
    DT_CHECK(in->n_gpus == 2 && in->nvme_gb.value == 0 && !dt_figure_is_known(in->ebs_mb_s));
    DT_CHECK(!in->ebs_mb_s.source && !in->retiring.text);
    DT_CHECK_STR(in->unsupported.text, "no");
    dt_catalog_free(catalog);
}

#define SPOT(zone, usd)                                                                                      \
    "{\"type\": \"g5.xlarge\", \"region\": \"us-east-1\", \"zone\": \"" zone "\", \"kind\": \"spot\", "      \
    "\"usd_h\": " usd ", \"source\": \"me\"}"

static void prices_replace_those_of_their_type_region_and_kind(void)
{
    dt_catalog *catalog =
        load(PRICES, PR(SPOT("use1-az1", "0.7") ",\n" SPOT(
                         "use1-az2", "0.6") ",\n"
                                            "{\"type\": \"g5.xlarge\", \"region\": \"eu-west-1\", \"kind\": "
                                            "\"on demand\", \"usd_h\": 1.123, \"date\": \"2026-10-01\", "
                                            "\"source\": \"me\"}"));
    const dt_price *spot = dt_catalog_find_price(catalog, "g5.xlarge", "us-east-1", NULL, true);
    DT_CHECK_CLOSE(spot->usd_h, 0.6, 0); /* the built-in 0.4591 is of another day */
    DT_CHECK(spot->is_users);
    DT_CHECK_STR(spot->date, "2026-11-01"); /* its source's */
    DT_CHECK(!dt_catalog_find_price(catalog, "g5.xlarge", "us-east-1", "use1-az4", true));
    DT_CHECK_CLOSE(dt_catalog_find_price(catalog, "g5.xlarge", "us-east-2", NULL, true)->usd_h, 0.4729, 0);
    DT_CHECK_CLOSE(dt_catalog_find_price(catalog, "g5.xlarge", "us-east-1", NULL, false)->usd_h, 1.006, 0);
    const dt_price *europe = dt_catalog_find_price(catalog, "g5.xlarge", "eu-west-1", NULL, false);
    DT_CHECK(europe && europe->usd_h == 1.123 && strcmp(europe->date, "2026-10-01") == 0);
    DT_CHECK_INT(dt_catalog_check_region(catalog, "eu-west-1", "x", &err), DT_OK);
    dt_catalog_free(catalog);
}

#define RATE(gpu, gpus, images_s, software)                                                                  \
    "{\"gpu\": \"" gpu "\", \"arch\": \"resnet50\", \"precision\": \"fp16\", \"image_size\": 224, "          \
    "\"gpus\": " gpus ", \"images_s\": " images_s ", \"software\": \"" software "\", \"source\": \"me\"}"

static void the_users_rates_come_first(void)
{
    dt_catalog *catalog =
        load(RATES, RA(RATE("V100", "1", "1000", "MXNet") ",\n" RATE("A100-40GB", "4", "2500", "dtrain")));
    DT_CHECK_CLOSE(dt_catalog_find_rate(catalog, "V100", "resnet50", "fp16", 224, 1)->images_s, 1000, 0);
    int n = 0;
    for (int i = 0; i < catalog->n_rates; i++)
        n += strcmp(catalog->rates[i].gpu, "V100") == 0 && catalog->rates[i].n_gpus == 1 &&
             strcmp(catalog->rates[i].software, "MXNet") == 0;
    DT_CHECK_INT(n, 1); /* replaced */
    const dt_rate *rate = dt_catalog_find_rate(catalog, "A100-40GB", "resnet50", "fp16", 224, 8);
    DT_CHECK(rate->is_users && rate->images_s == 2500); /* although a built-in one is of 8 GPUs */
    DT_CHECK(!catalog->machine);
    dt_catalog_free(catalog);
}

/* Zones by id and by name, also local zones, and in regions whose names are made in another way. */
static void zones_of_any_form_are_accepted(void)
{
    static const struct {
        const char *region, *zone;
    } places[] = {{"us-east-1", "use1-az1"},       {"us-east-1", "us-east-1a"},
                  {"us-east-1", "use1-bos1-az1"},  {"us-east-1", "us-east-1-bos-1a"},
                  {"ap-southeast-2", "apse2-az3"}, {"eu-central-1", "euc1-az1"},
                  {"us-gov-west-1", "usgw1-az1"},  {"cn-northwest-1", "cnnw1-az2"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 PR("{\"type\": \"g5.xlarge\", \"region\": \"%s\", \"zone\": \"%s\", "
                    "\"kind\": \"spot\", \"usd_h\": 1, \"source\": \"me\"}"),
                 places[i].region, places[i].zone);
        dt_catalog_free(load(PRICES, text));
    }
}

static void a_byte_order_mark_is_skipped(void)
{
    dt_catalog *catalog = load(PRICES, "\xef\xbb\xbf" PR(SPOT("use1-az1", "0.7")));
    DT_CHECK_CLOSE(dt_catalog_find_price(catalog, "g5.xlarge", "us-east-1", NULL, true)->usd_h, 0.7, 0);
    dt_catalog_free(catalog);
}

struct bad {
    const char *text, *message;
};

static void are_refused(enum kind kind, const struct bad *bad, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dt_catalog *catalog = NULL;
        const int64_t live = dt_alloc_live_blocks();
        const dt_status status = load_path(kind, write_text(kind, bad[i].text), &catalog);
        DT_CHECK_MSG(status == DT_ERR_USAGE, "%s: status %d", bad[i].text, (int)status);
        DT_CHECK(!catalog);
        const char *prefix = dt_test_path("%s/%s:", dt_test_temp_dir(), names[kind]);
        DT_CHECK_MSG(strncmp(err.message, prefix, strlen(prefix)) == 0, "%s", err.message);
        DT_CHECK_STR(err.message + strlen(prefix), bad[i].message);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (catalog)
            dt_catalog_free(catalog);
    }
}
#define ARE_REFUSED(kind, bad) are_refused(kind, bad, sizeof(bad) / sizeof *(bad))

static void mistakes_in_any_file_are_named_with_their_line(void)
{
    static const struct bad bad[] = {
        {"[]", "1: the file is not an object, { ... }"},
        {"{}", "1: \"sources\" is missing; it says where the figures come from"},
        {"{\n\"sources\": 3, \"instances\": []}",
         "2: \"sources\" is not an object, { ... }; it says where the figures come from"},
        {"{\"sources\": {}}", "1: \"instances\" is missing"},
        {"{\"sources\": {},\n\n\"instances\": {}}", "3: \"instances\" is not an array, [ ... ]"},
        {"{\"sources\": {}, \"instances\": [],\n \"instance\": []}",
         "2: \"instance\" is no known key; did you mean \"instances\"?"},
        {"{\"sources\": {\n\"a\": 1}, \"instances\": []}", "2: \"a\" is not an object, { ... }"},
        {"{\"sources\": {\"a\": {\n\"txt\": \"\"}}, \"instances\": []}",
         "2: \"txt\" is no known key; did you mean \"text\"?"},
        {"{\"sources\": {\n\"a\": {}}, \"instances\": []}",
         "2: \"text\" is missing; it is a text of 1 to 1000 bytes"},
        {"{\"sources\": {\"a\": {\"text\": \"\"}}, \"instances\": []}",
         "1: \"text\" is not a text of 1 to 1000 bytes"},
        {"{\"sources\": {\"a\": {\"text\": \"t\",\n\"date\": \"2026-02-29\"}}, \"instances\": []}",
         "2: \"date\" is \"2026-02-29\"; write YYYY-MM-DD, YYYY-MM or YYYY"},
        {"{\"sources\": {\"a\": {\"text\": \"t\", \"date\": \"2026\",\n\n\"confidence\": \"publish\"}}, "
         "\"instances\": []}",
         "3: \"confidence\" is \"publish\"; did you mean \"published\"?; it is measured, published, third "
         "party "
         "or estimated"},
        {"{\n\n\"a\" 1}", "3: ':' expected near '1'"},
        {"{\"a\": 1,\n\"a\": 2}", "2: duplicate object key near '\"a\"'"},
        {"", "1: '[' or '{' expected near end of file"},
    };
    ARE_REFUSED(INSTANCES, bad);
}

static void mistakes_in_instances_are_named_with_their_line(void)
{
    static const struct bad bad[] = {
        {IN("3"), "3: this is not an object, { ... }"},
        {IN("{\"gpus\": 1}"), "3: \"type\" is missing; it is a text of 1 to 1000 bytes"},
        {IN("{\"type\": \"g5.xlarge\",\n\"vcpu\": 1}"),
         "4: \"vcpu\" is no known key; did you mean \"vcpus\"?"},
        {IN("{\"type\": \"g5.xlarge\",\n\n\"vcpus\": 4}"),
         "5: \"vcpus\" has no source; write {\"value\": 4, \"source\": ID}, with an ID of \"sources\""},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"mee\"}"),
         "3: no source \"mee\" is in \"sources\" of this file; did you mean \"me\"?"},
        {IN("{\"type\": \"g5.xlarge\", \"vcpus\": {\n\"value\": 4, \"source\": \"other\"}}"),
         "4: no source \"other\" is in \"sources\" of this file"},
        {IN("{\"type\": \"g5.xlarge\", \"vcpus\": {\"value\": \"4\", \"source\": \"me\"}}"),
         "3: \"value\" is not a number"},
        {IN("{\"type\": \"g5.xlarge\", \"vcpus\": {\"source\": \"me\"}}"),
         "3: \"value\" is missing; it is a number"},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"me\",\n\"vcpus\": \"four\"}"),
         "4: \"vcpus\" is not a number, nor {\"value\": NUMBER, \"source\": ID}"},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"me\", \"ram_gib\": -1}"),
         "3: \"ram_gib\" is -1; it must be from 0.01 to 1000000"},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"me\", \"ram_gib\": 0}"),
         "3: \"ram_gib\" is 0; it must be from 0.01 to 1000000"},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"me\", \"nvme_gb\": -0.5}"),
         "3: \"nvme_gb\" is -0.5; it must be from 0 to 10000000"},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"me\", \"decode_images_s\": 1e-300}"),
         "3: \"decode_images_s\" is 1e-300; it must be from 0.01 to 10000000"},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"me\", \"ebs_mb_s\": 1e300}"),
         "3: \"ebs_mb_s\" is 1e+300; it must be from 0.1 to 1000000"},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"me\", \"gpus\": 0}"),
         "3: \"gpus\" is not an integer from 1 to 64"},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"me\", \"gpus\": 1.5}"),
         "3: \"gpus\" is not an integer from 1 to 64"},
        {IN("{\"type\": \"g5.xlarge\", \"source\": \"me\", \"cores\": 5}"),
         "3: g5.xlarge: \"cores\" is 5, more than \"vcpus\", which is 4"},
        {IN("{\"type\": \"g5.xlarge\", \"retiring\": \"soon\"}"),
         "3: \"retiring\" is not an object, { ... }"},
        {IN("{\"type\": \"g5.xlarge\", \"retiring\": {\"text\": \"soon\"}}"),
         "3: \"retiring\" has no \"source\""},
        {IN(NEW_TYPE ",\n" NEW_TYPE), "5: x9.large stands twice in this file"},
        {IN("{\"type\": \"x9.large\", \"source\": \"me\", \"gpus\": 1,\n\"gpu\": \"X\", \"gpu_memory_gib\": "
            "1, "
            "\"vcpus\": 1, \"ram_gib\": 1}"),
         "3: \"cores\" is missing"},
        {IN("{\"type\": \"x9.large\"}"), "3: \"gpus\" is missing; it is an integer from 1 to 64"},
    };
    ARE_REFUSED(INSTANCES, bad);
}

#define PRICE(type, more) "{\"type\": \"" type "\",\n\"region\": \"us-east-1\",\n\"source\": \"me\"" more "}"

static void mistakes_in_prices_are_named_with_their_line(void)
{
    static const struct bad bad[] = {
        {PR(PRICE("g5.xlrge", "")), "3: there is no instance type 'g5.xlrge'; did you mean 'g5.xlarge'?"},
        {PR(PRICE("g5.xlarge", ",\n\"usd\": 1")), "6: \"usd\" is no known key; did you mean \"usd_h\"?"},
        {PR(PRICE("g5.xlarge", "")), "3: \"kind\" is missing; it is a text of 1 to 1000 bytes"},
        {PR(PRICE("g5.xlarge", ",\n\"kind\": \"on-demand\"")),
         "6: \"kind\" is \"on-demand\"; it is \"spot\" or \"on demand\""},
        {PR(PRICE("g5.xlarge", ", \"kind\": \"spot\"")), "3: \"usd_h\" is missing; it is a number"},
        {PR(PRICE("g5.xlarge", ", \"kind\": \"spot\",\n\"usd_h\": -0.1")),
         "6: \"usd_h\" is -0.1; it must be from 0.0001 to 100000"},
        {PR(PRICE("g5.xlarge", ", \"kind\": \"spot\",\n\"usd_h\": 0")),
         "6: \"usd_h\" is 0; it must be from 0.0001 to 100000"},
        {PR(PRICE("g5.xlarge", ", \"kind\": \"spot\",\n\"usd_h\": 1e308")),
         "6: \"usd_h\" is 1e+308; it must be from 0.0001 to 100000"},
        {PR(PRICE("g5.xlarge", ", \"usd_h\": 1, \"kind\": \"spot\",\n\"zone\": \"usw2-az1\"")),
         "6: \"zone\" is \"usw2-az1\", which is not in us-east-1: its zones are use1-az1, ..."},
        {PR(PRICE("g5.xlarge", ", \"usd_h\": 1, \"kind\": \"spot\",\n\"zone\": \"us-west-2a\"")),
         "6: \"zone\" is \"us-west-2a\", which is not in us-east-1: its zones are use1-az1, ..."},
        {PR("{\"type\": \"\\u0000\"}"), "3: a text has the character \\u0000"},
        {PR(PRICE("g5.xlarge", ", \"kind\": \"spot\",\n\"usd_h\": \"1.2\"")), "6: \"usd_h\" is not a number"},
        {PR(PRICE("g5.xlarge", ", \"usd_h\": 1, \"kind\": \"on demand\",\n\"zone\": \"use1-az1\"")),
         "6: a price on demand is that of a whole region; leave \"zone\" out"},
        {PR(PRICE("g5.xlarge", ", \"usd_h\": 1, \"kind\": \"spot\",\n\"date\": \"2026-11\"")),
         "6: \"date\" is \"2026-11\"; write the day as YYYY-MM-DD"},
        {PR("{\"type\": \"g5.xlarge\", \"region\": \"r\", \"kind\": \"spot\", \"usd_h\": 1}"),
         "3: this price has no \"source\"; write an id of \"sources\""},
        {PR(SPOT("a", "1") ",\n" SPOT("b", "1") ",\n" SPOT("a", "2")),
         "5: the price of g5.xlarge spot in a stands twice in this file"},
        {"{\"sources\": {\"me\": {\"text\": \"t\", \"date\": \"2026-11\", \"confidence\": \"measured\"}},\n"
         "\"prices\": [" SPOT("a", "1") "]}",
         "2: this price needs a \"date\", YYYY-MM-DD: that of its source is no day, but 2026-11"},
    };
    ARE_REFUSED(PRICES, bad);
}

static void mistakes_in_rates_are_named_with_their_line(void)
{
    static const struct bad bad[] = {
        {RA(RATE("V10", "1", "1", "s")), "3: \"gpu\": there is no 'V10'; did you mean 'V100'?"},
        {RA("{\"gpu\": \"V100\", \"arch\": \"resnet51\"}"),
         "3: \"arch\": there is no 'resnet51'; did you mean 'resnet50'?"},
        {RA("{\"gpu\": \"V100\", \"arch\": \"resnet50\",\n\"precision\": \"fp8\"}"),
         "4: \"precision\" is \"fp8\"; it is fp32, tf32, fp16 or bf16"},
        {RA(RATE("V100", "0", "1", "s")), "3: \"gpus\" is not an integer from 1 to 100000"},
        {RA(RATE("V100", "1", "0", "s")), "3: \"images_s\" is 0; it must be from 0.001 to 10000000"},
        {RA(RATE("V100", "1", "-3", "s")), "3: \"images_s\" is -3; it must be from 0.001 to 10000000"},
        {RA(RATE("V100", "1", "1e-300", "s")),
         "3: \"images_s\" is 1e-300; it must be from 0.001 to 10000000"},
        {RA(RATE("V100", "1", "1", "")), "3: \"software\" is not a text of 1 to 1000 bytes"},
        {RA(RATE("V100", "1", "1", "s") ",\n" RATE("V100", "1", "2", "s")),
         "4: the rate of 1 V100 with s (resnet50, fp16, 224 pixels) stands twice in this file"},
        {SOURCES "\"machine\": {\"name\": \"n\"},\n\"rates\": []}",
         "2: \"gpu\" is missing; it is a text of 1 to 1000 bytes"},
        {SOURCES "\"machine\": {\"name\": \"n\", \"gpu\": \"CPU\", \"gpus\": 0, \"versions\": \"v\", "
                 "\"source\": \"me\",\n"
                 "\"cores\": 2},\n\"rates\": []}",
         "2: \"ram_gib\" is missing"},
    };
    ARE_REFUSED(RATES, bad);
}

static void files_that_cannot_be_read_are_named(void)
{
    dt_catalog *catalog = NULL;
    const char *path = dt_test_path("%s/none.json", dt_test_temp_dir());
    DT_CHECK_INT(load_path(PRICES, path, &catalog), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "none.json");
    DT_CHECK_CONTAINS(err.message, "No such file");
    DT_CHECK_INT(load_path(PRICES, dt_test_temp_dir(), &catalog), DT_ERR_USAGE);
    path = dt_test_path("%s/zero.json", dt_test_temp_dir());
    dt_test_write_file(path, "{}\0", 3);
    DT_CHECK_INT(load_path(PRICES, path, &catalog), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "zero.json: has a byte 0");
    path = dt_test_path("%s/deep.json", dt_test_temp_dir());
    dt_test_write_file(path, "[[[[[[[[[[[[[[[[[[[[", 20);
    DT_CHECK_INT(load_path(PRICES, path, &catalog), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "deep.json: ");
    enum { LARGE = (8 << 20) + 1 };
    char *large = malloc(LARGE);
    DT_REQUIRE(large != NULL);
    memset(large, ' ', LARGE);
    path = dt_test_path("%s/large.json", dt_test_temp_dir());
    dt_test_write_file(path, large, LARGE);
    DT_CHECK_INT(load_path(PRICES, path, &catalog), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "large.json: larger than 8 MiB");
    free(large);
}

/* Two spaces, a tabulator, a return, and texts that look like structure do not move the line. */
static void lines_are_counted_through_any_layout(void)
{
    static const struct bad bad[] = {
        {"{\"sources\"\r\n:\r\n{\"me\": {\"text\": \"},\\\"]\\n{[\", \"date\": "
         "\"2026-11-01\",\t\"confidence\": \"measured\"}}, "
         "\"prices\"\n:\n[\n\n" SPOT("a", "1") "\n,\n" SPOT(
             "b", "1e-3") "\n,\n\n{\"usd_h\"\n:\n1, \"kinds\"\n: 2}]}",
         "14: \"kinds\" is no known key; did you mean \"kind\"?"},
    };
    ARE_REFUSED(PRICES, bad);
}

/* Every allocation fails in turn, with a file of each kind; no memory is lost. */
static void no_allocation_that_fails_is_overlooked(void)
{
    const char *in = write_text(INSTANCES, IN(NEW_TYPE));
    const char *pr = write_text(PRICES, PR(SPOT("a", "1")));
    const char *ra = write_text(RATES, RA(RATE("V100", "1", "1000", "MXNet")));
    const int64_t live = dt_alloc_live_blocks();
    bool fails = true;
    int64_t n = 0;
    while (fails) {
        dt_catalog *catalog = NULL;
        dt_alloc_fail_after(++n);
        const dt_status status = dt_catalog_load(in, pr, ra, &catalog, &err);
        dt_alloc_fail_after(0);
        fails = status != DT_OK;
        DT_CHECK(status == DT_OK || status == DT_ERR_MEMORY);
        dt_catalog_free(catalog);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        DT_REQUIRE(n < 500);
    }
    DT_CHECK_MSG(n > 20, "only %d allocations", (int)n);
}

static const dt_test tests[] = {
    DT_TEST(an_instance_changes_the_figures_that_it_names),
    DT_TEST(the_gpu_of_an_instance_can_be_changed),
    DT_TEST(a_new_type_is_added),
    DT_TEST(prices_replace_those_of_their_type_region_and_kind),
    DT_TEST(the_users_rates_come_first),
    DT_TEST(zones_of_any_form_are_accepted),
    DT_TEST(a_byte_order_mark_is_skipped),
    DT_TEST(mistakes_in_any_file_are_named_with_their_line),
    DT_TEST(mistakes_in_instances_are_named_with_their_line),
    DT_TEST(mistakes_in_prices_are_named_with_their_line),
    DT_TEST(mistakes_in_rates_are_named_with_their_line),
    DT_TEST(files_that_cannot_be_read_are_named),
    DT_TEST(lines_are_counted_through_any_layout),
    DT_TEST(no_allocation_that_fails_is_overlooked),
};
DT_TEST_MAIN("launch/estimate/catalog", tests)
