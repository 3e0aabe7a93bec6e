"""Transformers models of a few thousand random weights, with a tokenizer of bytes: real code paths, no skill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)

CONTROL = ["<|im_start|>", "<|im_end|>", "<image>", "<|pad|>"]
TEXT_ONLY = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
SEEING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


def tokenizer(template: str) -> Any:
    """A token for each byte, and the control tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(CONTROL)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        extra_special_tokens={"image_token": "<image>"},
        chat_template=template,
        model_input_names=["input_ids", "attention_mask"],
    )


def text_config(vocabulary: int, **more: Any) -> LlamaConfig:
    sizes = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"eos_token_id": 257, "pad_token_id": 259, "bos_token_id": None}
    return LlamaConfig(
        vocab_size=vocabulary, num_key_value_heads=2, max_position_embeddings=1024, **sizes, **ends, **more
    )


def make_text(folder: Path, seed: int = 0, window: int = 0) -> Path:
    """A Llama; with a window of attention, its kin Mistral."""
    torch.manual_seed(seed)
    reader = tokenizer(TEXT_ONLY)
    config = text_config(len(reader), initializer_range=0.1)
    sliding = MistralConfig(**config.to_diff_dict() | {"sliding_window": window, "model_type": "mistral"})
    model = MistralForCausalLM(sliding) if window else LlamaForCausalLM(config)
    model.save_pretrained(folder)
    reader.save_pretrained(folder)
    return folder


def make_seeing(folder: Path) -> Path:
    """A LLaVA: a CLIP encoder whose patches become tokens of a Llama."""
    torch.manual_seed(1)
    reader = tokenizer(SEEING)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text_config(len(reader), initializer_range=0.1),
        image_token_index=reader.convert_tokens_to_ids("<image>"),
    )
    model = LlavaForConditionalGeneration(config)
    for weights in model.model.multi_modal_projector.parameters():
        torch.nn.init.normal_(weights, std=0.5)  # so that what is seen matters
    model.save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LlavaProcessor(
        pictures,
        reader,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=SEEING,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder


def make_adapter(model: Path, folder: Path, seed: int = 0, std: float = 0.3) -> Path:
    """A LoRA adapter for a folder's model, its weights drawn at random, as peft saves it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    wanted = LoraConfig(r=4, lora_alpha=8, target_modules=["v_proj", "down_proj"], task_type="CAUSAL_LM")
    made = get_peft_model(LlamaForCausalLM.from_pretrained(model), wanted)
    for name, weights in made.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=std)
    made.save_pretrained(folder)
    return folder


def as_gguf(adapter: Path, path: Path) -> None:
    """The same adapter as llama.cpp's converter writes it."""
    import gguf
    from safetensors.numpy import load_file

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    for name, weights in load_file(adapter / "adapter_model.safetensors").items():
        layer = name.split("layers.")[1].split(".")[0]
        part = "attn_v" if "v_proj" in name else "ffn_down"
        writer.add_tensor(f"blk.{layer}.{part}.weight.lora_{'a' if 'lora_A' in name else 'b'}", weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
