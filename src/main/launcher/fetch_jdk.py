"""Fetches a Temurin JDK from the Adoptium API into a folder, checked against its SHA-256.

usage: fetch_jdk.py RELEASE FOLDER
JQLORA_ADOPTIUM names another server with the same API, for networks that have a mirror.
"""
import hashlib
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import urllib.request

SYSTEMS = {"Linux": "linux", "Darwin": "mac"}
MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "aarch64", "arm64": "aarch64"}


def main(release, folder):
    system, machine = SYSTEMS.get(platform.system()), MACHINES.get(platform.machine().lower())
    if not system or not machine:
        sys.exit(f"no Temurin for {platform.system()} on {platform.machine()}; see https://adoptium.net")
    server = os.environ.get("JQLORA_ADOPTIUM", "https://api.adoptium.net")
    listing = f"{server}/v3/assets/latest/{release}/hotspot?architecture={machine}&image_type=jdk&os={system}&vendor=eclipse"
    with urllib.request.urlopen(listing, timeout=60) as reply:
        assets = json.load(reply)
    if not assets:
        sys.exit(f"{listing}: no release")
    package = assets[0]["binary"]["package"]
    print(f"{package['name']}, {package['size'] / 1e6:.0f} MB, from {package['link']}", flush=True)
    parent = os.path.dirname(os.path.abspath(folder))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as staging:
        archive = os.path.join(staging, "jdk.tar.gz")
        digest = hashlib.sha256()
        with urllib.request.urlopen(package["link"], timeout=60) as reply, open(archive, "wb") as out:
            while chunk := reply.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != package["checksum"]:
            sys.exit(f"{package['link']}: SHA-256 is {digest.hexdigest()}, it must be {package['checksum']}")
        unpacked = os.path.join(staging, "unpacked")
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))      # 3.11.4 brought it
        (root,) = os.listdir(unpacked)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(os.path.join(unpacked, root), folder)
    print(f"unpacked into {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
