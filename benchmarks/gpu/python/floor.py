"""The least that a QLoRA training step of a Llama's shape can take: its dense products alone, one after the other through cuBLAS, and attention, for seconds, so
under the same power cap as a step. Forward and input gradients of all layers and of the output layer; weights are frozen, so they have no gradient. What reads the
same input is one product (query, key, value; gate, up).
"""
import rows


def arguments(argv=None):
    parser = rows.parser(__doc__)
    parser.add_argument('--products', type=rows.words('bf16', 'fp8'), default='bf16,fp8', help="what the layers' products read; the output layer's stay in bfloat16")
    return parser.parse_args(argv)


class Floor:
    CHUNK = 2048  # rows of the output layer at a time

    def __init__(self, shape, device):
        self.hidden, self.intermediate, self.layers, self.heads, self.key_heads, self.head, vocabulary = shape
        self.device, self.clock = device, rows.Clock(device)
        attended = (self.heads + 2 * self.key_heads) * self.head
        self.sides = {'qkv': (attended, self.hidden), 'o': (self.hidden, self.heads * self.head), 'gate_up': (2 * self.intermediate, self.hidden), 'down': (self.hidden, self.intermediate)}
        self.weights = {name: self.random(*side) for name, side in self.sides.items()}
        self.lm_head = self.random(vocabulary, self.hidden)
        self.one = torch.ones((), device=device)

    def random(self, *shape):
        return 0.02 * torch.randn(*shape, device=self.device, dtype=torch.bfloat16)

    def products(self, tokens, eights):
        """A function for the products of one layer."""
        inputs, outputs = ({columns: self.random(tokens, columns) for columns in {side[i] for side in self.sides.values()}} for i in (1, 0))
        if not eights:
            made = {columns: torch.empty(tokens, columns, device=self.device, dtype=torch.bfloat16) for columns in inputs.keys() | outputs.keys()}

            def layer():
                for name, (out, into) in self.sides.items():
                    torch.mm(inputs[into], self.weights[name].t(), out=made[out])
                    torch.mm(outputs[out], self.weights[name], out=made[into])
            return layer
        inputs, outputs = ({columns: x.to(torch.float8_e4m3fn) for columns, x in group.items()} for group in (inputs, outputs))
        forward = {name: weight.to(torch.float8_e4m3fn) for name, weight in self.weights.items()}
        backward = {name: weight.t().contiguous().to(torch.float8_e4m3fn) for name, weight in self.weights.items()}  # tensor cores read e4m3 along the sum only

        def layer():
            for name, (out, into) in self.sides.items():
                torch._scaled_mm(inputs[into], forward[name].t(), self.one, self.one, out_dtype=torch.bfloat16, use_fast_accum=True)
                torch._scaled_mm(outputs[out], backward[name].t(), self.one, self.one, out_dtype=torch.bfloat16, use_fast_accum=True)
        return layer

    def attention(self, batch, length):
        """(name, context, function) of the fastest attention, forward and backward, that takes the shape."""
        q, k, v = (torch.randn(batch, heads, length, self.head, device=self.device, dtype=torch.bfloat16, requires_grad=True) for heads in (self.heads, self.key_heads, self.key_heads))
        gradient = torch.randn_like(q)

        def work():
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            torch.autograd.grad(y, (q, k, v), gradient)
        found = []
        for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, *([SDPBackend.MATH] if self.device == 'cpu' else [])):
            try:
                with sdpa_kernel(backend):
                    found.append((self.clock.mean(work, 10)[1], backend))
            except RuntimeError as refused:
                print(f'attention by {backend.name}: {str(refused).splitlines()[0]}', flush=True)
        if not found:
            raise RuntimeError(f'no attention of torch takes {batch} sequences of {length} tokens')
        ms, backend = min(found, key=lambda pair: pair[0])
        return ms, backend, work

    def measure(self, batch, length, products, seconds, out):
        tokens = batch * length
        x, layer = self.random(tokens, self.hidden), self.products(tokens, products == 'fp8')
        attention_ms, backend, attention = self.attention(batch, length)

        def step():
            for _ in range(self.layers):
                layer()
                attention()
            for part in x.split(self.CHUNK):
                torch.mm(torch.mm(part, self.lm_head.t()), self.lm_head)
        with sdpa_kernel(backend):
            began, times = self.clock.sustained(step, seconds)
        out.write('floor', began, products=products, attention=backend.name, attention_ms=attention_ms * self.layers, **rows.step_figures(times, batch, length))


def main():
    args = arguments()
    rows.require(args.device, 'torch')
    global torch, SDPBackend, sdpa_kernel
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    torch.manual_seed(0)
    out = rows.Rows(args.json)
    out.versions('torch')
    floor = Floor(rows.SHAPES[args.model], args.device)
    for products in args.products:
        for batch, length in args.settings:
            floor.measure(batch, length, products, args.seconds, out)


if __name__ == '__main__':
    main()
