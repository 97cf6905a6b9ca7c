"""Sample submissions for the demonstration: one perfect, some with a typical single mistake, some broken."""
