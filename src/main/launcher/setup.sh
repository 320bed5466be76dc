# shellcheck shell=bash
# ./jqlora setup: all that the other commands would set up when they need it, and NVIDIA's libraries

readonly GPU_LIBRARIES=$STATE/gpu

setup_usage() {
  cat <<'EOF'
usage: ./jqlora setup [--gpu]

Sets up what ./jqlora run and lab need: JDK, JupyterLab, build, kernel.

  --gpu    also NVIDIA's CUDA 13 libraries (cuBLAS, cuDNN, NVRTC; 1.3 GB) from PyPI, into .jqlora/gpu. From then on
           notebooks compute on the GPU. Needs Linux on x86-64, a card of compute capability 8.0 or more (A100, RTX 30 and
           newer) and its driver, 580 or newer. Where the system has the CUDA toolkit 13 and cuDNN 9 this is not needed.
EOF
}

command_setup() {
  local gpu=false
  while [ $# -gt 0 ]; do
    case $1 in
      --gpu) gpu=true ;;
      -h|--help) setup_usage; return 0 ;;
      *) unknown_option setup "$1" ;;
    esac
    shift
  done
  need_kernel
  need_quiet_git
  if $gpu; then setup_gpu; fi
  step "ready"
}

setup_gpu() {
  [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || die "setup --gpu: the GPU backend runs on Linux on x86-64, this is $(uname -s) on $(uname -m)"
  if ! has_gpu; then
    ask "This machine has no NVIDIA card with a working driver. Install the libraries all the same?" \
      || die "setup --gpu: no NVIDIA card with a working driver: $(gpu_driver_advice)"
  fi
  environment "NVIDIA's libraries (1.3 GB)" "$GPU_LIBRARIES" "$LAUNCHER/requirements-gpu.txt"
  ! has_gpu || gpu_state
}

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name --format=csv,noheader >/dev/null 2>&1; }

gpu_driver_advice() { for_system "install one (Debian, Ubuntu: the package nvidia-driver, 580 or newer)" "install one (akmod-nvidia of RPM Fusion, 580 or newer)" "" "https://www.nvidia.com/drivers"; }

# gpu_state: a line for each usable GPU, or for each thing that is missing and status 1
gpu_state() {
  export_cuda
  java_program jqlora.cli.Main gpu 2>&1 | grep -v '^WARNING: Using incubator modules'
}

# export_cuda: our own NVIDIA libraries for programs, unless JQLORA_CUDA names others
export_cuda() {
  local packages
  for packages in "$GPU_LIBRARIES"/lib/python*/site-packages; do
    if [ -d "$packages" ]; then export JQLORA_CUDA=${JQLORA_CUDA:-$packages}; fi
  done
}
