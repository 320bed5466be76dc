"""Floating-point operations a second of torch.mm for the matrices of one training step of 512 tokens: the ruler of the step's speed.
Prints one JSON line a setting (benchmarks/README.md): y [tokens, out] = x [tokens, in] W^T with W [out, in], and its input gradient dy W.
Usage: matmul.py [--tokens 512] [--dtypes float32,bfloat16] [--seconds 1]
"""
import argparse
import torch

import measure

WEIGHTS = ['768x768', '2048x768', '768x2048', '32000x768', '16x768', '768x16']  # out x in; the last two are LoRA's A and B


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--tokens', type=int, default=512)
    parser.add_argument('--dtypes', default='float32,bfloat16')
    parser.add_argument('--seconds', type=float, default=1)
    args = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    for dtype in args.dtypes.split(','):
        for shape in WEIGHTS:
            out, columns = map(int, shape.split('x'))
            x, w, dy = (torch.randn(*size, generator=generator).to(getattr(torch, dtype))
                        for size in ((args.tokens, columns), (out, columns), (args.tokens, out)))
            for operation, call in {'forward': lambda: torch.mm(x, w.T), 'input gradient': lambda: torch.mm(dy, w)}.items():
                flop = 2 * args.tokens * out * columns
                watch = measure.until(args.seconds, call)
                setting = dict(operation=operation, tokens=args.tokens, weight=shape, dtype=dtype)
                measure.emit('matmul', setting, flop, watch, {}, torch.get_num_threads(), measure.versions('torch'))


if __name__ == '__main__':
    main()
