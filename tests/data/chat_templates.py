"""Chat templates in the documented formats of model families, and the tokens that they need."""

LLAMA_2 = """\
{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}\
{% else %}{% set loop_messages = messages %}{% set system = false %}{% endif %}\
{% for message in loop_messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% if loop.index0 == 0 and system != false %}\
{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}\
{% else %}{% set content = message['content'] %}{% endif %}\
{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}\
{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""

LLAMA_3 = """\
{% for message in messages %}\
{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim \
+ '<|eot_id|>' %}\
{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

CHATML = """\
{% if messages[0]['role'] != 'system' %}\
{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}\
{% for message in messages %}\
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

CHATML_MARKED = """\
{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}\
{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}\
{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

LLAMA_3_MARKED = """\
{{ bos_token }}{% for message in messages %}\
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}\
{% if message['role'] == 'assistant' %}\
{% generation %}{{ message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}\
{% else %}{{ message['content'] | trim + '<|eot_id|>' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

# The system turn stands in the last question, as in the Instruct models of version 0.3.
MISTRAL = """\
{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}\
{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{{ bos_token }}\
{% for message in rest %}\
{% if message['role'] == 'user' %}\
{% if system and message == (rest | selectattr('role', 'equalto', 'user') | list)[-1] %}\
{{ '[INST] ' + system + '\\n\\n' + message['content'] + '[/INST]' }}\
{% else %}{{ '[INST] ' + message['content'] + '[/INST]' }}{% endif %}\
{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] | trim + eos_token }}\
{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""

GEMMA = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}\
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

# Leaves the reasoning out of all answers but the last, and gives that one an empty block if it has none.
QWEN_3 = """\
{% for message in messages %}\
{% if message['role'] == 'assistant' %}\
{% set content = message['content'] %}{% set reasoning = '' %}\
{% if '</think>' in content %}\
{% set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}\
{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}\
{% if loop.last %}\
{{ '<|im_start|>assistant\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}\
{% else %}{{ '<|im_start|>assistant\\n' + content }}{% endif %}{{ '<|im_end|>\\n' }}\
{% else %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

# The prompt for an answer opens a block of reasoning that a written answer does not have.
DEEPSEEK_R1 = """\
{{ bos_token }}{% for message in messages %}\
{% if message['role'] == 'user' %}{{ '<|User|>' + message['content'] }}\
{% elif message['role'] == 'assistant' %}\
{{ '<|Assistant|>' + message['content'].split('</think>')[-1] + eos_token }}\
{% else %}{{ message['content'] }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"""

# Has headers, but no prompt for an answer; and no mark at the end of a turn but that of the last.
VICUNA = """\
{% for message in messages %}{{ message['role'] | upper + ': ' + message['content'] }}\
{% if not loop.last %}{{ '\\n' }}{% else %}{{ eos_token }}{% endif %}{% endfor %}"""

SPECIAL = (
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|User|>",
    "<|Assistant|>",
)

# What is learnt of an answer: what a model writes behind the prompt, up to the mark that ends its turn.
LEARNT = {
    "Llama-2": (LLAMA_2, lambda answer: f" {answer.strip()} </s>"),
    "Llama-3": (LLAMA_3, lambda answer: f"{answer.strip()}<|eot_id|>"),
    "Llama-3, marked": (LLAMA_3_MARKED, lambda answer: f"{answer.strip()}<|eot_id|>"),
    "ChatML": (CHATML, lambda answer: f"{answer}<|im_end|>"),
    "ChatML, marked": (CHATML_MARKED, lambda answer: f"{answer}<|im_end|>"),
    "Mistral": (MISTRAL, lambda answer: f" {answer.strip()}</s>"),
    "Gemma": (GEMMA, lambda answer: f"{answer.strip()}<end_of_turn>"),
    "DeepSeek-R1": (DEEPSEEK_R1, lambda answer: f"{answer}</s>"),
    "ropewalk": (None, lambda answer: f" {answer}</s>"),
}
