"""Checks a manifest like launch/deploy/container/job.yaml: python3 job_check.py FILE. Prints the container's arguments.

Where python3 has the module kubernetes_validate, each object is also checked against Kubernetes' own schema.
"""
import sys

import yaml

try:
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None


def main(path):
    objects = {}
    for item in yaml.safe_load_all(open(path, encoding="utf-8")):
        objects[item["kind"]] = item
        if kubernetes_validate:
            kubernetes_validate.validate(item, "1.31", strict=True)
    job = objects["Job"]["spec"]
    pod = job["template"]["spec"]
    container, = pod["containers"]

    # A pod that stops with a checkpoint is replaced without an end; an error ends the job.
    actions = {}
    for rule in job["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        if codes:
            assert codes["containerName"] == container["name"] and codes["operator"] == "In", codes
            actions.update(dict.fromkeys(codes["values"], rule["action"]))
        else:
            assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}] and rule["action"] == "Ignore", rule
    assert actions == {1: "FailJob", 2: "FailJob", 75: "Ignore"}, actions
    assert pod["restartPolicy"] == "Never", "podFailurePolicy needs it"
    # EC2 gives 120 s; Docker's 10 and Kubernetes' 30 may be too short for a checkpoint.
    assert 60 <= pod["terminationGracePeriodSeconds"] <= 120, pod["terminationGracePeriodSeconds"]
    assert job.get("parallelism", 1) == 1, "one pod at a time uses a run's folder"

    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert mounts.keys() == volumes.keys(), (mounts, volumes)
    assert volumes["shm"]["emptyDir"]["medium"] == "Memory" and mounts["shm"]["mountPath"] == "/dev/shm"
    assert volumes["runs"]["persistentVolumeClaim"]["claimName"] == objects["PersistentVolumeClaim"]["metadata"]["name"]

    words = container["args"]
    assert all(isinstance(word, str) for word in words), words
    assert words[0] == "--once" and words[words.index("--ranks") + 1] == str(container["resources"]["limits"]["nvidia.com/gpu"]), words
    assert words[words.index("--out") + 1].startswith(mounts["runs"]["mountPath"] + "/"), words
    assert words[words.index("--data") + 1].startswith(mounts["data"]["mountPath"] + "/"), words
    print("args:", *words)


if __name__ == "__main__":
    main(sys.argv[1])
