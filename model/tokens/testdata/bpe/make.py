"""Writes vocab.json, merges.txt and ids.json: a small vocabulary of BART's kind and
the words and ids that Hugging Face's BartTokenizer makes of texts with it.

    pip install transformers==5.17.0 tokenizers==0.23.3
    python make.py
"""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BartTokenizer

FOLDER = Path(__file__).parent
TOKENS = 1000

WORDS = ["blue", "red", "shampoo", "brush", "oil", "cream", "don't", "we'll", "she's", "für", "crème", "Käse", "東京", "日本語", "привет", "🎁"]

# Texts in which words begin and end in every way, and ids as shops write them.
TEXTS = [
    "", "item", "user", "item_", "_", "item_0", "item_00000", "item_12345", "user_22363", "item_1_2", "item-12", "ITEM_7",
    "B000142FVW", "B0009V1YR8", "978-3-16-148410-0", "sku:4711/xl", "a.b,c;d", "3f2504e0-4f89-11d3-9a0c-0305e82b3301",
    "https://shop.example/p?id=1&x=%20", "{\"id\": 7}", "C:\\x\\y", "#version: 0.2", "$9.99", "100%", "a+b=c", "x²+y³", "½ Ⅷ ๓ ٣",
    " ", "  ", "   ", " a", "  a", "   a", "a ", "a  ", "a   ", "a b", "a  b", "a   b", " a b ", "a 1", "a  1", "a !", "a  !",
    "\t", "\ta", "a\tb", "a\t\tb", "a \tb", "a\t b", "a\t", "\n", "a\nb", "a\n\nb", "a \n b", "a\r\nb", "a\r\n", "\v\f", "a\u0085b",
    "a\u00a0b", "a \u00a0b", "a\u00a0 b", "\u00a0", "a\u2003\u2003b", "\u3000日", "a\u2028b", "a\u200bb", "\ufeffa", "a\u1680b", "a\u180eb",
    "don't", "we'll", "she's", "I'm", "I've", "you're", "he'd", "DON'T", "'s", "''s", "'", "''", " 's", "!'s", "'re'll", "'r", "'lx", "it’s",
    "\"quoted\"", "‘a’", "«a»", "a'b", "'item_1'",
    "<mask>", "<s>", "</s>", "<pad>", "<unk>", "item_<mask>", "<mask>1", "a <mask> b", "<s>item_1</s>", "<|endoftext|>",
    "🎁", "🎁🎁", "a🎁b", "1🎁2", "👨‍👩‍👧‍👦", "👍🏽", "🇩🇪", "❤️", " 🎁", "🎁 ", "1️⃣",
    "東京", "日本語のテキスト", "商品_123", "상품 123", "สินค้า", "สินค้า๑๒", "привет мир", "Ελληνικά", "שלום", "مرحبا ١٢٣", "हिन्दी", "தமிழ்", "ꙮ", "𠀀𠀁", "𝒳𝟙",
    "é", "e\u0301", "a\u0301\u0302b", "\u0301", " \u0301", "1\u0301", "Å", "A\u030a", "ﬁ", "ß", "İ", "ǅ", "ª º", "ʰ", "〇", "Ⓐ", "①",
    "\x00", "a\x00b", "\x01\x1f\x7f", "\x1c\x1d", "\u0080\u009f", "\u00ad", "\ue000", "\ufffd", "\uffff", "\U0010ffff", "\U000e0041",
    # Assigned in Unicode 15.1 and 16.
    "a\u1c89", "\u1c8a1", "a\ua7cb", "a\ua7dc", "a\U000105c0", "1\U00010d40", "a\U00010d4a", "a\U00010d6f", "a\U00010ec2", "a\U00011380",
    "a\U0001138b", "a\U0001138c", "a\U0001138e", "a\U00011390", "a\U000113b7", "a\U000113d1", "a\U000113d2", "a\U000113d3", "1\U000116d0",
    "a\U00011bc0", "1\U00011bf0", "a\U00013460", "a\U00016100", "1\U00016130", "a\U00016d40", "1\U00016d70", "a\U00018cff", "1\U0001ccf0",
    "a\U0001e5d0", "a\U0001e5f0", "1\U0001e5f1", "a\U0002ebf0", "a\U0002ee5d",
]  # fmt: skip


def corpus(rng):
    for _ in range(4000):
        yield " ".join([f"user_{rng.randrange(30000)}", *(f"item_{rng.randrange(30000):05d}" for _ in range(4)), *rng.choices(WORDS, k=6)])


def texts(rng):
    yield from TEXTS
    # Repeated characters: many equal pairs, of which the leftmost is joined first.
    for char in "0129ae! \t日":
        for n in (2, 3, 4, 5, 7, 12, 33):
            yield "x" + char * n
    for _ in range(40):
        yield f"item_{rng.randrange(10**rng.randrange(1, 10))}"
        yield f"user_{rng.randrange(40000):05d}"
    for _ in range(40):
        yield "".join(chr(rng.choice([rng.randrange(0x250), rng.randrange(0x2E80, 0xA000), rng.randrange(0x10000, 0x20000), 0x20])) for _ in range(rng.randrange(1, 25)))


def main():
    rng = random.Random(1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS - 1, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(corpus(rng), trainer)
    tokenizer.model.save(str(FOLDER))

    path = FOLDER / "vocab.json"
    ids = json.loads(path.read_text(encoding="utf-8"))
    ids["<mask>"] = len(ids)  # the last one, as in BART
    path.write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")

    bart = BartTokenizer.from_pretrained(FOLDER)

    def case(text):
        words = bart.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        ids = bart(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return {"text": text, "words": [text[start:end] for _, (start, end) in words], "ids": ids}

    lines = ",\n".join(json.dumps(case(text), separators=(",", ":")) for text in dict.fromkeys(texts(rng)))
    (FOLDER / "ids.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


main()
