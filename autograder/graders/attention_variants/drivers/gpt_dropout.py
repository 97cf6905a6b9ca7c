"""Where dropout acts in a GPTTransformer: what goes into its blocks, what they add, and the logits."""

import torch


def run(space, init, state, input_ids, seeds):
    model = space.get("GPTTransformer")(**init)
    space.load(model, state)
    seen = {}
    blocks = model.transformer_blocks
    for number, block in enumerate(blocks):
        # a hook with keywords, because a mask may be passed either way
        def keep(module, args, kwargs, output, number=number):
            x = args[0] if args else kwargs["x"]
            seen[f"input_{number}"], seen[f"output_{number}"] = x.detach().clone(), output.detach().clone()

        block.register_forward_hook(keep, with_kwargs=True)
    with torch.no_grad():
        model.eval()
        evaluated = []
        for seed in seeds:
            torch.manual_seed(seed)
            evaluated.append(model(input_ids))
        model.train()
        torch.manual_seed(seeds[0])
        logits = model(input_ids)
        last = seen[f"output_{len(blocks) - 1}"]
        head = model.lm_head(model.layer_norm(last))
    return {
        "eval": evaluated,
        "first_input": seen["input_0"],
        "added_0": seen["output_0"] - seen["input_0"],
        "added_1": seen["output_1"] - seen["input_1"],
        "train_logits": logits,
        "head_of_last": head,
    }
