"""Two continuations of one cache, piece by piece in turn: their outputs, and whether any cache has changed."""

import torch


def run(space, init, state, first, ways):
    module = space.get("CachedAttention")(**init)
    space.load(module, state)
    module.eval()
    kept = []  # every cache that was made, and a copy of it

    def step(piece, cache):
        output, new = module(piece, cache)
        kept.append((new, [part.clone() for part in new]))
        return output.clone(), new

    given = [first.clone(), *(piece.clone() for way in ways for piece in way)]
    with torch.no_grad():
        _, shared = step(first, None)
        caches, outputs = [shared for _ in ways], [[] for _ in ways]
        for turn in range(len(ways[0])):
            for number, way in enumerate(ways):
                output, caches[number] = step(way[turn], caches[number])
                outputs[number].append(output)
    after = [first, *(piece for way in ways for piece in way)]
    return {
        "outputs": outputs,
        "changed": any(not torch.equal(p, q) for cache, copy in kept for p, q in zip(cache, copy, strict=True)),
        "inputs_changed": any(not torch.equal(p, q) for p, q in zip(given, after, strict=True)),
    }
