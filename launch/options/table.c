/* The table of options: names, ranges, defaults and help, one row each. */
#include "config.h"

#include "launch/options/options.h"

#include "launch/hardware/backends.h"
#include "launch/hardware/transports.h"
#include "layers/resnet.h"

#define BOTH (DT_COMMAND_TRAIN | DT_COMMAND_EVAL)
#define TRAIN DT_COMMAND_TRAIN
#define EVAL DT_COMMAND_EVAL
#define INFO DT_COMMAND_INFO
#define INSPECT DT_COMMAND_INSPECT
#define EXPORT DT_COMMAND_EXPORT
#define BENCH DT_COMMAND_BENCH
#define PLAN DT_COMMAND_PLAN
#define CLUSTER DT_COMMAND_CLUSTER
#define STAGE DT_COMMAND_STAGE

/* The choices, in the order of the enums. */
static const char *const schedules[] = {"cosine", "poly", "step", "constant", NULL};
static const char *const augments[] = {"standard", "none", NULL};
static const char *const resumes[] = {"auto", "never", "must", NULL};
static const char *const precisions[] = {"auto", "fp32", "fp16", "bf16", "tf32", NULL};
static const char *const wires[] = {"auto", "fp32", "same", NULL};
static const char *const inputs[] = {"loader", "synthetic", NULL};
static const char *const autotunes[] = {"full", "heuristic", "off", NULL};
static const char *const spots[] = {"auto", "imds", "off", NULL};
static const char *const binds[] = {"auto", "none", NULL};
static const char *const optimizers[] = {"sgd", "lars", NULL};
static const char *const assumptions[] = {"today", "seed", NULL};
static const char *const plan_choices[] = {"auto",        "cheapest",  "fastest", "best-value",
                                           "in-deadline", "in-budget", NULL};
static const char *const buys[] = {"auto", "both", "spot", "on-demand", NULL};
static const char *const lars_forms[] = {"paper", "torch", NULL};

static const char *const *archs_or_auto(void)
{
    static const char *names[16] = {"auto"};
    const char *const *known = dt_resnet_names();
    for (int i = 0; known[i] && i < 14; i++)
        names[i + 1] = known[i];
    return names;
}

/* What every row has. field_: of dt_options; for a RANGE the first of its two. */
#define ROW(name_, metavar_, commands_, group_, type_, field_)                                               \
    .name = name_, .metavar = metavar_, .commands = commands_, .group = DT_GROUP_##group_,                   \
    .type = DT_OPTION_##type_, .offset = offsetof(dt_options, field_),                                       \
    .bytes = sizeof(((dt_options *)NULL)->field_)

static const dt_option table[] = {
    {ROW("data", "DIR", BOTH, DATA, PATH, config.data), .by_default = "",
     .help =
         "the images: DIR/train/CLASS/*.jpg and DIR/val/CLASS/*.jpg; classes are numbered in sorted "
         "order. s3://BUCKET/PREFIX is copied to --stage-dir first. Without it dtrain trains the built-in "
         "demo"},
    {ROW("data", "DIR", BENCH, DATA, PATH, config.data), .by_default = "",
     .help = "the images to train on and to read: DIR/train/CLASS/*.jpg, and DIR/val to evaluate on. If not "
             "given: photographs of noise that bench writes, as large beside --image-size as ImageNet's"},
    {ROW("data", "DIR", PLAN, DATA, PATH, config.data), .by_default = "",
     .help = "count the images and bytes of this folder. Without it: ImageNet-1K's. A folder that only a "
             "configuration file names need not be on this machine"},
    {ROW("images", "N", PLAN, DATA, INT, images), .min = 1, .max = 1e10, .words = {{"auto", 0}},
     .by_default = "auto",
     .help = "images of the training set; auto: those of --data, or ImageNet-1K's 1,281,167"},
    {ROW("data-bytes", "SIZE", PLAN, DATA, PATH, data_bytes), .by_default = "",
     .help = "bytes of all images together, such as 144G, 1.5T or 500MiB: what each start copies to each "
             "node. If not given: those of --data, or as many an image as ImageNet-1K's 144 GB"},
    {ROW("image-size", "PIXELS", BOTH | INFO | BENCH | PLAN, DATA, INT, config.image_size), .min = 16,
     .max = 2048, .by_default = "224", .help = "height and width of the images that the network gets"},
    {ROW("batch", "N", BOTH | INFO | BENCH, DATA, INT, config.batch), .min = 1, .max = 65536,
     .words = {{"auto", 0}}, .by_default = "32",
     .help =
         "images per rank and micro-batch; the global batch is N x ranks x --accumulate. auto: the "
         "largest of 1 to 8, 16, 24, 32, 48, 64, 96, 128, ... that fits in the memory of every rank; scale "
         "--lr yourself"},
    {ROW("batch", "N", PLAN, DATA, INT, config.batch), .min = 1, .max = 65536, .words = {{"auto", 0}},
     .by_default = "auto",
     .help = "images per GPU and micro-batch; auto: as many as fit in the GPU's memory, at most 256"},
    {ROW("augment", "KIND", TRAIN, DATA, CHOICE, augment), .choices = augments, .by_default = "standard",
     .help = "standard: random-resized-crop (--crop-scale; aspect 3/4 to 4/3) and --flip; none: the shorter "
             "side resized to --image-size, and the centre"},
    {ROW("crop-scale", "MIN,MAX", TRAIN | BENCH, DATA, RANGE, crop_scale_min), .min = 0, .max = 1,
     .above_min = true, .by_default = "0.08,1",
     .help = "share of the image's area that a random crop covers"},
    {ROW("flip", "P", TRAIN, DATA, REAL, flip), .min = 0, .max = 1, .by_default = "0.5",
     .help = "probability of a horizontal flip"},
    {ROW("eval-crop", "SHARE", BOTH, DATA, REAL, eval_crop), .min = 0, .max = 1, .above_min = true,
     .by_default = "0.875",
     .help = "evaluation reduces larger images to a shorter side of image-size / SHARE, and cuts out the "
             "centre"},
    {ROW("eval-resize", "PIXELS", BOTH, DATA, INT, eval_resize), .min = 16, .max = 8192,
     .words = {{"auto", DT_EVAL_RESIZE_AUTO}, {"none", DT_EVAL_RESIZE_NONE}}, .by_default = "auto",
     .help = "the shorter side S of an image in evaluation becomes, with auto: min(max(S, image-size), "
             "image-size / --eval-crop); with none: max(S, image-size); with a number: PIXELS, as in "
             "torchvision's Resize, whatever --eval-crop is. Then the centre is cut out"},
    {ROW("no-shuffle", NULL, TRAIN, DATA, UNFLAG, shuffle), .by_default = "no",
     .help = "train on the files in sorted order"},
    {ROW("max-broken", "FRACTION", BOTH, DATA, REAL, config.max_broken), .min = 0, .max = 1,
     .by_default = "0.01", .help = "stop when more than this fraction of the files is broken"},
    {ROW("resize-schedule", "SIZE:SHARE,...", TRAIN | PLAN, DATA, PATH, resize_schedule), .by_default = "",
     .help = "train at growing sizes: 160:0,192:0.6,224:0.85 trains with 160 pixels first, with 192 from 60% "
             "of the epochs on, and with 224 from 85% on. Evaluation always uses --image-size. If not given: "
             "--image-size throughout"},
    {ROW("input", "KIND", TRAIN, DATA, CHOICE, input), .choices = inputs, .by_default = "loader",
     .help =
         "loader: the images; synthetic: the same few batches of random pixels repeatedly, to measure the "
         "network alone, with as many images and classes as --data has, or ImageNet without --data"},

    {ROW("arch", "NAME", TRAIN | INFO | BENCH | PLAN, MODEL, NAME, arch), .get_choices = dt_resnet_names,
     .by_default = "resnet50", .help = "the network"},
    {ROW("arch", "NAME", EVAL, MODEL, NAME, arch), .get_choices = archs_or_auto, .by_default = "auto",
     .help = "the network; auto: from the weights"},
    {ROW("weights", "FILE", EVAL, MODEL, PATH, weights), .by_default = "",
     .help = "what to evaluate: a .safetensors file with torchvision's names, a run's folder, or one "
             "checkpoint's folder"},
    {ROW("zero-init-gamma", NULL, TRAIN, MODEL, FLAG, zero_init_gamma), .by_default = "no",
     .help = "start the scale of the last BatchNorm of every residual branch at 0 instead of 1. Convolutions "
             "start at random with variance 2 / fan-out"},
    {ROW("init", "FILE", TRAIN, MODEL, PATH, init), .by_default = "",
     .help = "start from the weights in this .safetensors file (torchvision's names)"},
    {ROW("export", "FILE", TRAIN, MODEL, PATH, export_to), .by_default = "", .one_start = true,
     .help = "write the weights to this .safetensors file at the end (torchvision's names)"},

    {ROW("epochs", "N", TRAIN | PLAN, OPTIMIZATION, INT, config.epochs), .min = 1, .max = 1000000,
     .by_default = "90",
     .help = "passes over the training images, and the schedule's length. Each has a new order, and whole "
             "global batches only: the images that are left over are not trained on in it"},
    {ROW("steps", "N", TRAIN, OPTIMIZATION, INT, config.steps), .min = 0, .max = DT_OPTION_NO_LIMIT,
     .by_default = "0", .one_start = true, .help = "stop after so many optimizer steps; 0: no such limit"},
    {ROW("accumulate", "N", TRAIN | BENCH | PLAN, OPTIMIZATION, INT, config.accumulate), .min = 1,
     .max = 65536, .by_default = "1",
     .help = "micro-batches per optimizer step; its gradient is the mean over all their images and ranks. "
             "BatchNorm's running statistics move once a step, by the average over micro-batches and ranks "
             "(PyTorch moves them with each)"},
    {ROW("optimizer", "NAME", TRAIN, OPTIMIZATION, NAME, config.optimizer), .choices = optimizers,
     .by_default = "sgd",
     .help =
         "sgd: stochastic gradient descent with momentum; lars: the same, but each weight tensor's rate "
         "is --lr x --lars-trust x |w| / (|g| + --weight-decay x |w|), or --lr x --lars-trust if a norm is "
         "0, for batches of many thousands; BatchNorm's parameters and biases use sgd, and have no weight "
         "decay unless --no-bn-decay=no and --no-bias-decay=no are given"},
    {ROW("lars-trust", "T", TRAIN, OPTIMIZATION, REAL, config.lars_trust), .min = 0, .max = 1,
     .above_min = true, .by_default = "0.001", .of = "optimizer", .of_value = "lars",
     .help = "with --optimizer lars: the trust coefficient. For batches of many thousands use an --lr of 2 "
             "to 20; for small ones use --lr 0.1 and 0.02 for T"},
    {ROW("lars-form", "NAME", TRAIN, OPTIMIZATION, CHOICE, config.lars_form), .choices = lars_forms,
     .by_default = "paper", .of = "optimizer", .of_value = "lars",
     .help =
         "with --optimizer lars: where the learning rate applies, for G = g + W w times the tensor's factor. "
         "paper (MLPerf, published rates): v = M v + lr G, w = w - v; with --nesterov w = w - (lr G + M v). "
         "torch (timm, apex): v = M v + G, w = w - lr v; with --nesterov w = w - lr (G + M v)"},
    {ROW("ema", "DECAY", TRAIN | PLAN, OPTIMIZATION, REAL, config.ema_decay), .min = 0, .max = 0.999999,
     .by_default = "0",
     .help =
         "keep running averages of the weights and of BatchNorm's statistics, average = DECAY x average + "
         "(1 - DECAY) x weight after every step, from the initial weights on; evaluation and --export use "
         "them. 0: none"},
    {ROW("no-ema-warmup", NULL, TRAIN, OPTIMIZATION, UNFLAG, config.ema_warmup), .by_default = "no",
     .of = "ema",
     .help = "with --ema: use DECAY from the first step. Without this option the decay of step t, from 1, is "
             "min(DECAY, (1 + t) / (10 + t)), as TensorFlow computes it, so that averages of a short "
             "training are not mostly its initial weights"},
    {ROW("loss-scale", "S", TRAIN, OPTIMIZATION, REAL, config.loss_scale_init), .min = 1, .max = 16777216,
     .by_default = "65536",
     .help =
         "with --precision fp16: the initial factor of the loss, which keeps small gradients from vanishing. "
         "It halves when gradients overflow (that step is skipped) and doubles after 2000 good steps"},
    {ROW("lr", "RATE", TRAIN, OPTIMIZATION, REAL, config.lr), .min = 0, .max = 1000, .by_default = "0.1",
     .help = "peak learning rate; --warmup-epochs and --schedule give the rate of each step. 0.1 suits a "
             "global batch of 256; scale it in proportion"},
    {ROW("momentum", "M", TRAIN, OPTIMIZATION, REAL, config.momentum), .min = 0, .max = 0.9999,
     .by_default = "0.9",
     .help =
         "momentum coefficient: v = M v + g and w = w - rate x v, for the gradient g with its weight decay"},
    {ROW("nesterov", NULL, TRAIN, OPTIMIZATION, FLAG, config.nesterov), .by_default = "no",
     .help = "use Nesterov momentum, as PyTorch does: v = M v + g, w = w - lr (g + M v)"},
    {ROW("weight-decay", "W", TRAIN, OPTIMIZATION, REAL, config.weight_decay), .min = 0, .max = 1,
     .by_default = "0.0001",
     .help = "added to the gradient as W times the weight, of all parameters but for --no-bn-decay and "
             "--no-bias-decay"},
    {ROW("no-bn-decay", NULL, TRAIN, OPTIMIZATION, UNFLAG, config.bn_decay), .by_default = "no",
     .help = "no weight decay on BatchNorm's scale and shift (torchvision's --norm-weight-decay 0). If not "
             "given: yes with --optimizer lars"},
    {ROW("no-bias-decay", NULL, TRAIN, OPTIMIZATION, UNFLAG, config.bias_decay), .by_default = "no",
     .help = "no weight decay on biases: the classifier's, and BatchNorm's shift (torchvision's "
             "--bias-weight-decay 0). If not given: yes with --optimizer lars"},
    {ROW("label-smoothing", "S", TRAIN, OPTIMIZATION, REAL, config.label_smoothing), .min = 0, .max = 0.999,
     .by_default = "0.1",
     .help = "share of the target that is spread evenly over all classes, the right one included. The "
             "training's loss has it, val_loss does not"},
    {ROW("warmup-epochs", "N", TRAIN, OPTIMIZATION, REAL, config.warmup_epochs), .min = 0, .max = 1000000,
     .by_default = "5",
     .help = "epochs over which the learning rate rises to its peak: k / K of it in step k of K, so that the "
             "last of them and the first one after them have the peak; may be a fraction. If not given, at "
             "most a fifth of --epochs"},
    {ROW("schedule", "KIND", TRAIN, OPTIMIZATION, CHOICE, config.schedule), .choices = schedules,
     .by_default = "cosine",
     .help =
         "how the learning rate falls from its peak P, step by step: x = (t - w) / (T - w) for the epochs "
         "t before the step, w of warm-up and T in total. cosine: P (1 + cos(pi x)) / 2; poly: P (1 - "
         "x)^p, p = --poly-power; step: P x --step-gamma^k after k of --step-epochs; constant: P"},
    {ROW("poly-power", "POWER", TRAIN, OPTIMIZATION, REAL, config.poly_power), .min = 0, .max = 100,
     .above_min = true, .by_default = "2", .of = "schedule", .of_value = "poly",
     .help = "with --schedule poly: its power; 1 is a straight line, as torch's PolynomialLR by default"},
    {ROW("step-epochs", "E,E,...", TRAIN, OPTIMIZATION, PATH, step_epochs), .by_default = "",
     .of = "schedule", .of_value = "step",
     .help =
         "with --schedule step: the epochs after which the rate drops, such as 30,60,80, counted from the "
         "start with its warm-up. If not given: after 1/3, 2/3 and 8/9 of --epochs; a drop that the "
         "warm-up covers comes at its end"},
    {ROW("step-gamma", "GAMMA", TRAIN, OPTIMIZATION, REAL, config.step_gamma), .min = 0, .max = 1,
     .above_min = true, .by_default = "0.1", .of = "schedule", .of_value = "step",
     .help = "with --schedule step: the factor of each drop"},
    {ROW("seed", "N", TRAIN, OPTIMIZATION, INT, config.seed), .min = 0, .max = DT_OPTION_NO_LIMIT,
     .by_default = "1",
     .help =
         "seed of initialisation, order and augmentation; the same seed gives the same weights, bit for bit"},

    {ROW("out", "DIR", TRAIN, RUN, PATH, out), .by_default = "", .one_start = true,
     .help = "the run's folder: metrics.jsonl, checkpoints/, config.conf. If not given: runs/DATA-ARCH, and "
             "runs/demo for the demo"},
    {ROW("resume", "WHEN", TRAIN, RUN, CHOICE, config.resume), .choices = resumes, .by_default = "auto",
     .one_start = true,
     .help = "auto: continue from the newest checkpoint in --out if there is one; must: fail if there is "
             "none; never: start over; an older run is renamed to DIR.old-1, and its checkpoints in "
             "--checkpoint-dir and --checkpoint-mirror are moved to old-1 there. A restart of the same Slurm "
             "or AWS Batch job resumes the run that never began"},
    {ROW("checkpoint-every", "STEPS", TRAIN | PLAN, RUN, INT, config.checkpoint_every), .min = 0,
     .max = DT_OPTION_NO_LIMIT, .words = {{"auto", DT_CHECKPOINT_AUTO}}, .by_default = "0",
     .help = "steps between checkpoints; 0: at the end of every epoch; auto: the interval that loses the "
             "least time, computed from --mtti and the time that a checkpoint takes"},
    {ROW("checkpoint-dir", "DIR", TRAIN, RUN, PATH, checkpoint_dir), .by_default = "", .one_start = true,
     .help = "where checkpoints go. May be a local disk of each host (NVMe), together with "
             "--checkpoint-mirror. If not given: checkpoints/ in --out"},
    {ROW("checkpoint-mirror", "DIR", TRAIN, RUN, PATH, checkpoint_mirror), .by_default = "",
     .one_start = true,
     .help = "a folder on storage that all hosts see, to which checkpoints are copied during training. If "
             "not given: none"},
    {ROW("mtti", "HOURS", TRAIN, RUN, REAL, config.mtti_h), .min = 0, .max = 1000000, .above_min = true,
     .by_default = "6", .one_start = true,
     .help = "mean time to interruption, for --checkpoint-every auto; 6 suits a spot instance"},
    {ROW("max-checkpoint-failures", "N", TRAIN, RUN, INT, config.max_checkpoint_failures), .min = 0,
     .max = DT_OPTION_NO_LIMIT, .by_default = "10", .one_start = true,
     .help = "stop after so many checkpoints in a row could not be written; 0: never"},
    {ROW("time-limit", "DURATION", TRAIN, RUN, DURATION, time_limit_s), .by_default = "0", .one_start = true,
     .help = "stop with a checkpoint and code 75 before this much time has passed since the program's start: "
             "seconds, or 30m, 2h, 1h30m, or as Slurm writes it, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, "
             "DAYS-HOURS:MINUTES:SECONDS. 0: no limit but Slurm's own, which dtrain finds out"},
    {ROW("spot", "KIND", TRAIN, RUN, CHOICE, spot), .choices = spots, .by_default = "auto", .per_rank = true,
     .help =
         "imds: poll EC2's instance metadata service on every node, and stop with a checkpoint when it "
         "announces that the instance will be taken back; auto: the same, if the machine is an EC2 instance"},
    {ROW("imds-endpoint", "URL", TRAIN, RUN, PATH, imds_endpoint), .by_default = "http://169.254.169.254",
     .per_rank = true, .help = "URL of the instance metadata service"},
    {ROW("keep", "N", TRAIN, RUN, INT, config.keep), .min = 1, .max = 10000, .by_default = "3",
     .one_start = true, .help = "how many of the newest checkpoints to keep"},
    {ROW("eval-every", "EPOCHS", TRAIN | PLAN, RUN, REAL, config.eval_every), .min = 0, .max = 1000000,
     .by_default = "1", .help = "epochs between evaluations; 0: only at the end"},
    {ROW("profile", "STEPS", TRAIN, RUN, INT, profile_steps), .min = 0, .max = 100000, .by_default = "0",
     .help =
         "measure every layer over so many steps, print a table of times and bandwidths, and stop; 0: train"},
    {ROW("log-every", "SECONDS", BOTH | STAGE, RUN, REAL, log_every_s), .min = 0, .max = 86400,
     .by_default = "5", .per_rank = true,
     .help = "seconds between progress lines if stderr is not a terminal"},

#include "launch/options/table_cloud.h"
#include "launch/options/table_stage.h"

    {ROW("verify", NULL, INSPECT, RUN, FLAG, verify), .by_default = "no",
     .help = "read every byte: check the hash of each shard, and that HDF5 can read it"},
    {ROW("diff", NULL, INSPECT, RUN, FLAG, diff), .by_default = "no",
     .help = "compare two checkpoints, A and B, tensor by tensor; each is a folder or, after a DIR, a step "
             "in it. Code 0: the same bits; 1: they differ"},
    {ROW("json", NULL, INFO | INSPECT | PLAN, RUN, FLAG, json), .by_default = "no",
     .help = "print one JSON object instead of a table"},
    {ROW("output", "FILE", EXPORT, RUN, PATH, output), .by_default = "",
     .help = "the .safetensors file to write"},
    {ROW("output", "FILE", CLUSTER, RUN, PATH, output), .by_default = "cluster.yaml",
     .help = "the ParallelCluster configuration to write; dtrain-bootstrap.sh goes beside it"},
    {ROW("output", "FILE", BENCH, RUN, PATH, output), .by_default = "",
     .help = "write the figures to this file, for --rates of dtrain plan. If not given: none"},
    {ROW("seconds", "SECONDS", BENCH, RUN, REAL, seconds), .min = 0.1, .max = 3600, .by_default = "10",
     .help = "how long to measure each; all together take about six times as long"},
    {ROW("url", "URL", BENCH, RUN, PATH, url), .by_default = "",
     .help = "also measure how fast this address sends, http:// or https://: a file of some hundred "
             "megabytes where the images will come from. If not given: none"},
    {ROW("checkpoint-dir", "DIR", BENCH, RUN, PATH, checkpoint_dir), .by_default = "",
     .help = "where to write checkpoints: on the disk that a training will use, in a new folder that is "
             "removed at the end. If not given: the current folder"},
    {ROW("step", "N", EXPORT, RUN, INT, step), .min = 0, .max = 9007199254740992.0, .words = {{"newest", -1}},
     .by_default = "newest", .help = "which checkpoint; newest: the newest one that is whole"},
    {ROW("fp16", NULL, EXPORT, RUN, FLAG, fp16), .by_default = "no",
     .help = "write float16 instead of float32"},
    {ROW("ema", NULL, EXPORT, RUN, FLAG, ema), .by_default = "no",
     .help = "write the running averages of a training with --ema instead of the weights"},

    {ROW("backend", "NAME", BOTH | BENCH, MACHINE, NAME, backend), .get_choices = dt_backend_names,
     .by_default = "auto",
     .help =
         "what computes; auto: the fastest one that works on this machine; ref is for checking the others"},
    {ROW("comm", "NAME", BOTH | BENCH, MACHINE, NAME, comm), .get_choices = dt_transport_names,
     .by_default = "auto", .one_start = true,
     .help = "how ranks communicate; auto: MPI if mpirun or srun has started the program, with NCCL between "
             "GPUs; else a single rank"},
    {ROW("peer-timeout", "SECONDS", BOTH | BENCH | STAGE, MACHINE, REAL, peer_timeout_s), .min = 1,
     .max = 86400, .by_default = "600",
     .help = "a rank that has waited this long for others stops and names the missing ranks"},
    {ROW("precision", "TYPE", BOTH | INFO | BENCH | PLAN, MACHINE, CHOICE, precision), .choices = precisions,
     .by_default = "auto",
     .help =
         "arithmetic of the network. auto: fp16 on a GPU, else fp32. fp16: half the memory traffic of fp32, "
         "on tensor cores, with master weights in fp32; bf16: the same in another format; tf32: fp32 whose "
         "products round their factors to 10 bits. All but fp32 need a GPU (or --backend ref, which rounds "
         "like a GPU, slowly)"},
    {ROW("wire", "TYPE", TRAIN | BENCH | PLAN, MACHINE, CHOICE, config.wire), .choices = wires,
     .by_default = "auto",
     .help = "the type in which NCCL sends gradients between GPUs. same: as --precision, 16 bits with fp16 "
             "and bf16; "
             "fp32: twice the bytes, and no rounding on the way; auto: fp32 for bf16 from 32 ranks on, else "
             "same. "
             "MPI sums on hosts, always in fp32"},
    {ROW("plans", NULL, INFO, MACHINE, FLAG, plans), .by_default = "no",
     .help = "show what a training of --arch at --image-size, --batch and --precision would do on --device, "
             "which this machine need not have: each cuDNN graph and its plan, bytes and operations of an "
             "image, memory, and the images per second that they allow"},
    {ROW("device", "GPU", INFO, MACHINE, PATH, device), .by_default = "",
     .help = "for --plans: a100-40gb, a100-80gb, a10g, h100, h200, l4, t4, or a file like those in the "
             "folder share/dtrain/devices"},
    {ROW("autotune", "KIND", BOTH | BENCH, MACHINE, CHOICE, autotune), .choices = autotunes,
     .by_default = "full", .per_rank = true,
     .help = "how the GPU's convolution algorithms are chosen. full: the first run on a GPU times all of "
             "them and remembers the fastest; heuristic: it times the library's favourites only; off: use "
             "the library's first choice"},
    {ROW("no-graph", NULL, TRAIN, MACHINE, FLAG, config.no_graph), .by_default = "no",
     .help = "enqueue the operations of each step one by one instead of launching one captured graph: the "
             "same bits, slower, and errors are reported where they occur"},
    {ROW("threads", "N", BOTH | BENCH, MACHINE, INT, threads), .min = 0, .max = 4096, .by_default = "0",
     .per_rank = true,
     .help = "compute threads per rank; 0: this rank's share of the host's cores (or OMP_NUM_THREADS)"},
    {ROW("workers", "N", BOTH | BENCH, MACHINE, INT, workers), .min = 0, .max = 1024, .by_default = "0",
     .per_rank = true, .help = "image decoding threads per rank; 0: by the number of cores"},
    {ROW("bind", "WHERE", BOTH | BENCH, MACHINE, CHOICE, bind), .choices = binds, .by_default = "auto",
     .one_start = true,
     .help = "which processors ranks run on. auto: near their GPUs, else spread over sockets, NUMA nodes and "
             "caches, each on cores of its own, unless the launcher has given ranks different processors at "
             "the user's request; none: where the launcher has put them"},
};

enum { N_ROWS = sizeof table / sizeof table[0] };
_Static_assert(N_ROWS <= DT_OPTIONS_MAX, "dt_options.origin has an element for every row");
_Static_assert(sizeof(dt_schedule_kind) == sizeof(int) && sizeof(dt_lars_form) == sizeof(int) &&
                   sizeof(dt_wire_kind) == sizeof(int) && sizeof(dt_spot_kind) == sizeof(int) &&
                   sizeof(dt_bind_kind) == sizeof(int) && sizeof(dt_dtype) == sizeof(int),
               "choices are stored as int");

int dt_options_count(void)
{
    return N_ROWS;
}

const dt_option *dt_options_at(int row)
{
    return &table[row];
}

int dt_options_find(const char *name, unsigned command)
{
    for (int row = 0; row < N_ROWS; row++) {
        const char *a = name, *b = table[row].name;
        while (*a && (*a == *b || (*a == '_' && *b == '-'))) {
            a++;
            b++;
        }
        if (!*a && !*b && (table[row].commands & command))
            return row;
    }
    return -1;
}

const char *const *dt_option_choices(const dt_option *option)
{
    return option->get_choices ? option->get_choices() : option->choices;
}

const char *dt_option_group_title(dt_option_group group)
{
    static const char *const titles[DT_N_GROUPS] = {"", "Data", "Model", "Optimization", "Run", "Machine"};
    return titles[group];
}

const char *dt_origin_name(dt_origin origin)
{
    static const char *const names[] = {"default", "demo", "optimizer", "weights", "file", "command line"};
    return names[origin];
}
