"""How a GPTTransformer is built: parameters by path, the tied head, and the sizes that nobody gave."""


def run(space, sizes):
    make = space.get("GPTTransformer")
    model = make(**sizes)
    wide, deep = make(11, n_layers=1), make(11, d_model=24)
    block = wide.transformer_blocks[0]
    return {
        "tied": model.lm_head.weight is model.token_embedding.weight,
        "head_bias": getattr(model.lm_head, "bias", None) is not None,
        "max_seq_length": getattr(model, "max_seq_length", None),
        "shapes": {path: list(p.shape) for path, p in model.named_parameters(remove_duplicate=False)},
        "defaults": {
            "d_model": wide.token_embedding.weight.size(1),
            "d_ff": block.feed_forward.linear1.weight.size(0),
            "n_heads": block.self_attention.n_heads,
            "max_seq_length": wide.position_embedding.weight.size(0),
            "n_layers": len(deep.transformer_blocks),
        },
    }
