"""edit_weights.py FROM TO EDIT...: copies a .safetensors file and changes it, without any library. EDITs, in order:

  set NAME INDEX VALUE      one element of a float32 tensor (nan, inf, -1, ...)
  prefix TEXT               in front of every name
  drop NAME                 without the tensor
  add NAME DTYPE COUNT      a tensor of zeros, COUNT elements of one byte (BOOL), or of 4 (F32), 8 (I64)
  twice TEXT                every tensor once more, with TEXT in front of its name"""
import json
import struct
import sys

BYTES = {"BOOL": 1, "U8": 1, "F32": 4, "I64": 8}

args = sys.argv[3:]
with open(sys.argv[1], "rb") as f:
    data = f.read()
n = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + n])
metadata = header.pop("__metadata__", None)
tensors = {k: (v["dtype"], v["shape"], bytearray(data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]))
           for k, v in header.items()}
while args:
    edit = args.pop(0)
    if edit == "set":
        name, index, value = args.pop(0), int(args.pop(0)), float(args.pop(0))
        struct.pack_into("<f", tensors[name][2], 4 * index, value)
    elif edit == "prefix":
        prefix = args.pop(0)
        tensors = {prefix + k: v for k, v in tensors.items()}
    elif edit == "drop":
        del tensors[args.pop(0)]
    elif edit == "add":
        name, dtype, count = args.pop(0), args.pop(0), int(args.pop(0))
        tensors[name] = (dtype, [count], bytes(BYTES[dtype] * count))
    elif edit == "twice":
        prefix = args.pop(0)
        tensors.update({prefix + k: v for k, v in tensors.items()})
    else:
        sys.exit(f"no such edit: {edit}")
out, at = ({"__metadata__": metadata} if metadata else {}), 0
for name, (dtype, shape, values) in tensors.items():
    out[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(values)]}
    at += len(values)
text = json.dumps(out).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[2], "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + b"".join(bytes(v[2]) for v in tensors.values()))
