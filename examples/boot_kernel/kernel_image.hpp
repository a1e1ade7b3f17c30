// What a kernel's file holds, and what it is given.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include <portico/boot/elf_image.hpp>
#include <portico/boot/image_kind.hpp>
#include <portico/boot/linux_kernel.hpp>
#include <portico/boot/multiboot_kernel.hpp>
#include <portico/boot/pvh_kernel.hpp>

#include "options.hpp"

namespace boot_kernel {

/// A kernel by one of the protocols.
using KernelImage = std::variant<portico::LinuxKernel, portico::PvhKernel, portico::MultibootKernel,
                                 portico::ElfImage>;

namespace detail {

/// The arguments that only some kinds take, as they were given and to whom they would go.
inline void refuse_what_is_not_for(Options const& options, char const* kind, bool takes_initrd,
                                   bool takes_modules, bool takes_append) {
  auto const refuse = [&](char const* option, char const* to) {
    throw portico::ImageError{options.kernel + ": is " + kind + "; " + option + " is for " + to};
  };
  if (!takes_initrd && !options.initrd.empty())
    refuse("--initrd",
           takes_modules ? "Linux, and a Multiboot kernel gets files by --module" : "Linux");
  if (!takes_modules && !options.modules.empty()) refuse("--module", "Multiboot kernels");
  if (!takes_append && options.append) refuse("--append", "Linux and Multiboot kernels");
}

inline portico::MultibootOptions multiboot_options(Options const& options) {
  portico::MultibootOptions made{.command_line = options.append.value_or("")};
  for (std::string const& module : options.modules)
    made.modules.push_back({module.substr(0, module.find(' ')), module});
  return made;
}

}  // namespace detail

/// Opens the kernel and what goes with it. Linux gets `usual` where the user gave no command line.
/// Throws ImageError, whose line says what is wrong and what would be right.
inline KernelImage open_kernel(Options const& options, std::string const& usual) {
  portico::ImageFile file{options.kernel, "kernel"};
  std::string line = options.append.value_or(usual);
  switch (portico::image_kind(file)) {
    case portico::ImageKind::bzimage:
      detail::refuse_what_is_not_for(options, "Linux's bzImage", true, false, true);
      return portico::LinuxKernel{std::move(file), {options.initrd, std::move(line)}};
    case portico::ImageKind::pvh:
      detail::refuse_what_is_not_for(options, "an ELF file with a PVH entry", true, false, true);
      return portico::PvhKernel{std::move(file), {options.initrd, std::move(line)}};
    case portico::ImageKind::multiboot:
      detail::refuse_what_is_not_for(options, "a Multiboot kernel", false, true, true);
      return portico::MultibootKernel{std::move(file), detail::multiboot_options(options)};
    case portico::ImageKind::elf:
      detail::refuse_what_is_not_for(options, "a plain ELF file", false, false, false);
      return portico::ElfImage{std::move(file)};
    case portico::ImageKind::unknown:
      break;
  }
  file.fail(
      "is no kernel: one of these is expected: a bzImage ('HdrS' at 0x202), an ELF file, or a "
      "Multiboot header with a right checksum in the first 8192 bytes");
}

}  // namespace boot_kernel
