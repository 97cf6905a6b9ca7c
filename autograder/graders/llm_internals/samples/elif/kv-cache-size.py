def kv_cache_bytes(config, batch_size, sequence_length, bytes_per_value=2):
    # every head counted, also where heads share keys and values
    head_dim = config.hidden_size // config.num_attention_heads
    heads = config.num_attention_heads
    return 2 * config.num_hidden_layers * batch_size * heads * sequence_length * head_dim * bytes_per_value
