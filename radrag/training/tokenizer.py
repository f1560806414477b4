"""A byte-level BPE tokenizer with Llama-3 special tokens and chat template."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from radrag.errors import require
from radrag.training._files import replaced_folder

BEGIN, END, TURN = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
SPECIAL_TOKENS = (BEGIN, END, "<|start_header_id|>", "<|end_header_id|>", TURN)

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|eot_id|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

# Llama 3's own: it keeps the newlines after a header in one piece whatever follows, so that a prompt's tokens are a
# prefix of the tokens of prompt and reply together.
_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_BYTES = 256


def train_tokenizer(texts: Iterable[str], out: str | Path, *, vocab_size: int = 2048, context: int = 1024) -> Path:
    """Train a tokenizer and save it as a ``PreTrainedTokenizerFast`` folder.

    Every text can be encoded (bytes are the alphabet) and decodes to itself. There is nothing random in it.

    Args:
        texts: What to learn merges from.
        out: Folder to write.
        vocab_size: Tokens in all, special ones included.
        context: Tokens the model it is for can read.

    Raises:
        ValueError: If the vocabulary cannot hold the bytes and the special tokens.
    """
    least = _BYTES + len(SPECIAL_TOKENS)
    if vocab_size < least:
        raise ValueError(f"vocab_size must be at least {least} (bytes and special tokens), got {vocab_size}")
    tokenizers = require("tokenizers", extra="llama")
    transformers = require("transformers", extra="llama")
    pre, bytelevel = tokenizers.pre_tokenizers, tokenizers.pre_tokenizers.ByteLevel
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = pre.Sequence(
        [
            pre.Split(tokenizers.Regex(_PIECES), behavior="isolated"),
            bytelevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=bytelevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BEGIN,
        eos_token=TURN,
        pad_token=END,
        additional_special_tokens=list(SPECIAL_TOKENS[2:4]),
        clean_up_tokenization_spaces=False,
        model_max_length=context,
    )
    fast.chat_template = CHAT_TEMPLATE
    with replaced_folder(Path(out)) as staging:
        fast.save_pretrained(staging)
    return Path(out)
