"""Values a second of bitsandbytes' 4-bit quantization and dequantization on the CPU, NF4 in blocks of 64.
Prints one JSON line a setting (benchmarks/README.md).
Usage: quantize.py [--shapes 4096x4096,768x2048] [--dtypes float32,bfloat16] [--seconds 1]
"""
import argparse
import os

os.environ['HF_HUB_OFFLINE'] = '1'
import torch
import bitsandbytes.functional as F

import measure


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--shapes', default='4096x4096,768x2048')
    parser.add_argument('--dtypes', default='float32,bfloat16')
    parser.add_argument('--seconds', type=float, default=1)
    args = parser.parse_args()
    stack = measure.versions('torch', 'bitsandbytes')
    for shape in args.shapes.split(','):
        rows, columns = map(int, shape.split('x'))
        for dtype in args.dtypes.split(','):
            weight = (torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)) * 0.02).to(getattr(torch, dtype))
            for double in (False, True):
                packed, state = F.quantize_4bit(weight, blocksize=64, quant_type='nf4', compress_statistics=double)
                operations = {'quantize': lambda: F.quantize_4bit(weight, blocksize=64, quant_type='nf4', compress_statistics=double),
                              'dequantize': lambda: F.dequantize_4bit(packed, state)}
                for operation, call in operations.items():
                    watch = measure.until(args.seconds, call)
                    setting = dict(operation=operation, shape=shape, dtype=dtype, double_quantization=double)
                    measure.emit('quantize', setting, weight.numel(), watch, {}, torch.get_num_threads(), stack)


if __name__ == '__main__':
    main()
