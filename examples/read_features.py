"""Read the features of a split's clips: `tsn features runs/a features.h5`. Needs no tsn."""

import h5py

with h5py.File("features.h5") as file:
    features, labels = file["feature"][:], file["label"][:]
    names = [name.decode() for name in file["name"]]
    print(features.shape, len(names), dict(file.attrs)["protocol"])
