"""cluster_mutations.py CLUSTER.YAML PUBLIC-SUBNET: mistakes in a configuration that cluster_check.py accepts, one at a time.

Prints `refused NAME: MESSAGE` for each that ParallelCluster refuses with the message that it must give, else `accepted NAME: ...`. --list: the names.
"""
import sys


def queue(cluster, n=0):
    return cluster["Scheduling"]["SlurmQueues"][n]


def resource(cluster):
    return queue(cluster)["ComputeResources"][0]


def set_in(find, name, value):
    def mutate(cluster, _):
        find(cluster)[name] = value

    return mutate


def no_efa(cluster, _):
    resource(cluster)["Instances"] = [{"InstanceType": "g5.xlarge"}]
    resource(cluster)["Efa"] = {"Enabled": True}


def public_nodes(cluster, public):
    queue(cluster)["Networking"]["SubnetIds"] = [public]


def local_script(cluster, _):
    cluster["HeadNode"]["CustomActions"]["OnNodeConfigured"]["Script"] = "dtrain-bootstrap.sh"


def same_name(cluster, _):
    queue(cluster, 1)["Name"] = queue(cluster)["Name"]


# name: the mutation, and what the refusal must say.
MUTATIONS = {
    "an unknown key": (set_in(queue, "ComputeResorces", []), "Unknown field"),
    "an allocation strategy that there is not": (set_in(queue, "AllocationStrategy", "cheapest"), "AllocationStrategy.*[Mm]ust be one of"),
    "a way to buy that there is not": (set_in(queue, "CapacityType", "PREEMPTIBLE"), "CapacityType.*[Mm]ust be one of"),
    "an id that no subnet can have": (lambda cluster, _: queue(cluster)["Networking"].update(SubnetIds=["subnet-12"]), "SubnetIds"),
    "a subnet that does not exist": (lambda cluster, _: queue(cluster)["Networking"].update(SubnetIds=["subnet-0123456789abcdef0"]), "subnet-0123456789abcdef0"),
    "nodes with several network cards in a public subnet": (public_nodes, "private subnet|public IP|NAT"),
    "no nodes": (set_in(resource, "MaxCount", 0), "MaxCount"),
    "an instance type that does not exist": (set_in(resource, "Instances", [{"InstanceType": "p4d.25xlarge"}]), "p4d.25xlarge"),
    "types that differ in GPUs": (set_in(resource, "Instances", [{"InstanceType": "p4d.24xlarge"}, {"InstanceType": "g5.xlarge"}]), "vCPU|number of GPU|EFA"),
    "EFA on a type without": (no_efa, "not support EFA"),
    "a disk of FSx that there is not": (lambda cluster, _: cluster.setdefault("SharedStorage", []).append(
        {"Name": "fsx", "StorageType": "FsxLustre", "MountDir": "/fsx", "FsxLustreSettings": {"DeploymentType": "SCRATCH_2", "StorageCapacity": 1000}}), "1,?200|capacity"),
    "a setting of Slurm that is ParallelCluster's own": (lambda cluster, _: cluster["Scheduling"].setdefault("SlurmSettings", {}).setdefault(
        "CustomSlurmSettings", []).append({"ResumeTimeout": 10}), "ResumeTimeout"),
    "a system that there is not": (lambda cluster, _: cluster["Image"].update(Os="ubuntu1604"), "Os|ubuntu1604"),
    "a script that is a file here": (local_script, "not.*a valid URL|[Uu][Rr][Ll]"),
    "two queues with one name": (same_name, "[Qq]ueue.*unique|[Dd]uplicate"),
    "a scheduler that there is not": (lambda cluster, _: cluster["Scheduling"].update(Scheduler="pbs"), "Scheduler.*[Mm]ust be one of|pbs"),
}


def main(path, public):
    import loopback  # not for --list, which needs no server

    loopback.check_variables()
    import copy
    import re

    import yaml
    from cluster_check import findings_of

    with open(path, encoding="utf-8") as file:
        original = yaml.safe_load(file)
    for name, (mutate, expected) in MUTATIONS.items():
        cluster = copy.deepcopy(original)
        mutate(cluster, public)
        errors = [f"{kind}: {' '.join(str(message).split())}" for level, kind, message in findings_of(cluster) if level == "ERROR"]
        fitting = [error for error in errors if re.search(expected, error)]
        print(f"refused {name}: {fitting[0]}" if fitting else f"accepted {name}: {errors}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(MUTATIONS))
    else:
        main(*sys.argv[1:])
