//! What tests share: an issuer of tokens, an upstream that misbehaves on demand, a clock. Development only.
