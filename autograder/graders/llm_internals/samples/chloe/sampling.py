def filter_top_k(logits, k):
    if k < 1:
        raise ValueError("k must be at least 1")
    kept = torch.full_like(logits, float("-inf"))
    best = logits.topk(min(k, logits.numel())).indices
    kept[best] = logits[best]
    return kept


def filter_top_p(logits, p):
    if p >= 1:
        return logits.clone()
    ordered, order = logits.sort(descending=True)
    reached = F.softmax(ordered, dim=-1).cumsum(dim=-1)
    # the token that crosses p is dropped, too
    drop = reached > p
    drop[0] = False
    kept = logits.clone()
    kept[order[drop]] = float("-inf")
    return kept


def sample_next(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature < 0:
        raise ValueError("temperature must not be negative")
    if temperature == 0:
        return int(logits.argmax())
    logits = logits / temperature
    if top_k is not None:
        logits = filter_top_k(logits, top_k)
    if top_p is not None:
        logits = filter_top_p(logits, top_p)
    return int(torch.multinomial(F.softmax(logits, dim=-1), 1, generator=generator))
