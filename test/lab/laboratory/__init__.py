# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
"""The laboratory: Debian's kernel with a complete KVM, booted by QEMU on any machine."""


class LaboratoryError(Exception):
    """Something outside the guest went wrong; the text says what, and what to do about it."""
