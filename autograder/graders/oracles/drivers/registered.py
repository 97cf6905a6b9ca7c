"""How a module registers one of its tensors, and where that tensor is after a move."""


def run(space, name, init, tensor):
    module = space.get(name)(**init)
    return {
        "buffer": tensor in dict(module.named_buffers()),
        "parameter": tensor in dict(module.named_parameters()),
        "device_after_move": str(getattr(module.to("meta"), tensor).device),
    }
