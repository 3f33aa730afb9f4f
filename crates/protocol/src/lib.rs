//! The nouns every part agrees on, and how they are encoded.
