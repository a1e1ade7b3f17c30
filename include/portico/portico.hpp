/// The core of Portico in one include: memory, device map, machine, and the modes and images of
/// small guests.
///
///     #include <portico/portico.hpp>
///
/// Device models, boot protocols and virtio are included singly. The library itself never includes
/// this header.
#pragma once

#include <portico/base/bytes.hpp>
#include <portico/base/match.hpp>
#include <portico/boot/flat_image.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/locked.hpp>
#include <portico/device/run_control.hpp>
#include <portico/machine.hpp>
#include <portico/machine/map_text.hpp>
#include <portico/machine/statistics.hpp>
#include <portico/machine/trace.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/long_mode.hpp>
#include <portico/x86/real_mode.hpp>
