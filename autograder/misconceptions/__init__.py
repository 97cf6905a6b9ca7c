"""Named wrong versions and correct variants of every component: what the graders are proven with."""
