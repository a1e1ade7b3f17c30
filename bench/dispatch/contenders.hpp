// The ways to get from a port number to a device, all with one interface:
//
//   void write(std::uint16_t port, std::uint8_t value);  // one access; counts unclaimed ones
//   Sums sums();                                          // what was done so far
//
// A bus answers for ranges: whoever searches finds the last entry that begins at or below the port,
// then checks that the port lies in it. (Here every range is one port, which Portico and the switch
// know at compile time, as they would.)
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <portico/device/context.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/dynamic_map.hpp>
#include <shared_mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "devices.hpp"
#include "repeat.hpp"

namespace dispatch {

template <class Indices>
struct PackFor;

template <std::size_t... Index>
struct PackFor<std::index_sequence<Index...>> {
  template <Layout Lay>
  using Board = portico::DeviceMap<portico::Port<ports<Lay>[Index], Device<Index>>...>;

  using Dynamic = portico::DynamicMap<Device<Index>...>;

  /// A std::tuple of 256 takes the compiler minutes; each device being a type of its own, a base
  /// each will do.
  struct Devices : Device<Index>... {};

  using Variant = std::variant<Device<Index>...>;
};

template <std::size_t Entries>
using Pack = PackFor<std::make_index_sequence<Entries>>;

template <std::size_t Entries, class Visit>
void for_each_index(Visit&& visit) {
  [&]<std::size_t... Index>(std::index_sequence<Index...>) {
    (visit.template operator()<Index>(), ...);
  }(std::make_index_sequence<Entries>{});
}

/// What this library does.
template <std::size_t Entries, Layout Lay>
class Portico {
 public:
  void write(std::uint16_t port, std::uint8_t value) {
    if (!map_.out(port, value, context_)) ++unclaimed_;
  }

  Sums sums() {
    Sums result{.unclaimed = unclaimed_};
    for_each_index<Entries>(
        [&]<std::size_t Index>() { result.add(Index, map_.template at<Index>().sum); });
    return result;
  }

 private:
  typename Pack<Entries>::template Board<Lay> map_;
  portico::Context<> context_;
  std::uint64_t unclaimed_ = 0;
};

/// What this library does where the addresses are known at run time only.
template <std::size_t Entries, Layout Lay>
class Dynamic {
 public:
  Dynamic() {
    for_each_index<Entries>([&]<std::size_t Index>() {
      devices_[Index] = &map_.template place<Device<Index>>(
          {.base = ports<Lay>[Index], .name = std::to_string(Index)});
      sums_[Index] = [](void const* device) {
        return static_cast<Device<Index> const*>(device)->sum;
      };
    });
  }

  void write(std::uint16_t port, std::uint8_t value) {
    if (!map_.out(port, value, context_)) ++unclaimed_;
  }

  Sums sums() {
    Sums result{.unclaimed = unclaimed_};
    for (std::size_t index = 0; index < Entries; ++index)
      result.add(index, sums_[index](devices_[index]));
    return result;
  }

 private:
  typename Pack<Entries>::Dynamic map_;
  std::array<void const*, Entries> devices_{};
  std::array<std::uint64_t (*)(void const*), Entries> sums_{};
  portico::Context<> context_;
  std::uint64_t unclaimed_ = 0;
};

/// One class for each size, as the cases have to be written out.
template <std::size_t Entries, Layout Lay>
class Switch;

#define PORTICO_BENCH_CASE(index)                         \
  case ports<Lay>[index]:                                 \
    static_cast<Device<(index)>&>(devices_).write(value); \
    return;

#define PORTICO_BENCH_SWITCH(entries)                                                 \
  template <Layout Lay>                                                               \
  class Switch<entries, Lay> {                                                        \
   public:                                                                            \
    void write(std::uint16_t port, std::uint8_t value) {                              \
      switch (port) {                                                                 \
        PORTICO_BENCH_REPEAT_##entries(PORTICO_BENCH_CASE, 0) default : ++unclaimed_; \
      }                                                                               \
    }                                                                                 \
    Sums sums() {                                                                     \
      Sums result{.unclaimed = unclaimed_};                                           \
      for_each_index<entries>([&]<std::size_t Index>() {                              \
        result.add(Index, static_cast<Device<Index>&>(devices_).sum);                 \
      });                                                                             \
      return result;                                                                  \
    }                                                                                 \
                                                                                      \
   private:                                                                           \
    typename Pack<entries>::Devices devices_;                                         \
    std::uint64_t unclaimed_ = 0;                                                     \
  };

PORTICO_BENCH_SWITCH(1)
PORTICO_BENCH_SWITCH(2)
PORTICO_BENCH_SWITCH(4)
PORTICO_BENCH_SWITCH(8)
PORTICO_BENCH_SWITCH(11)
PORTICO_BENCH_SWITCH(12)
PORTICO_BENCH_SWITCH(16)
PORTICO_BENCH_SWITCH(32)
PORTICO_BENCH_SWITCH(64)
PORTICO_BENCH_SWITCH(128)
PORTICO_BENCH_SWITCH(256)
#undef PORTICO_BENCH_SWITCH
#undef PORTICO_BENCH_CASE

/// Where a search over the sorted ports ends: an index, or Entries for none.
template <std::size_t Entries, Layout Lay>
std::size_t search(std::array<std::uint16_t, Entries> const& bases, std::uint16_t port) {
  auto const above = std::upper_bound(bases.begin(), bases.end(), port);
  if (above == bases.begin() || port - *(above - 1) >= 1) return Entries;
  return static_cast<std::size_t>(above - bases.begin()) - 1;
}

template <std::size_t Entries, Layout Lay>
std::array<std::uint16_t, Entries> first_ports() {
  std::array<std::uint16_t, Entries> result{};
  std::copy_n(ports<Lay>.begin(), Entries, result.begin());
  return result;
}

/// A sorted table of ports, and std::visit over an array of variants.
template <std::size_t Entries, Layout Lay>
class Visit {
 public:
  Visit() {
    for_each_index<Entries>(
        [&]<std::size_t Index>() { devices_[Index].template emplace<Index>(); });
  }

  void write(std::uint16_t port, std::uint8_t value) {
    std::size_t const index = search<Entries, Lay>(bases_, port);
    if (index == Entries) {
      ++unclaimed_;
    } else {
      std::visit([value](auto& device) { device.write(value); }, devices_[index]);
    }
  }

  Sums sums() {
    Sums result{.unclaimed = unclaimed_};
    for (std::size_t index = 0; index < Entries; ++index) {
      result.add(index, std::visit([](auto& device) { return device.sum; }, devices_[index]));
    }
    return result;
  }

 private:
  std::array<std::uint16_t, Entries> bases_ = first_ports<Entries, Lay>();
  std::array<typename Pack<Entries>::Variant, Entries> devices_;
  std::uint64_t unclaimed_ = 0;
};

/// A sorted table of ports, and a table of function pointers: how a monitor in C does it.
template <std::size_t Entries, Layout Lay>
class FunctionTable {
 public:
  FunctionTable() {
    for_each_index<Entries>([&]<std::size_t Index>() {
      functions_[Index] = {[](void* device, std::uint8_t value) {
                             static_cast<Device<Index>*>(device)->write(value);
                           },
                           static_cast<Device<Index>*>(&devices_)};
    });
  }

  void write(std::uint16_t port, std::uint8_t value) {
    std::size_t const index = search<Entries, Lay>(bases_, port);
    if (index == Entries) {
      ++unclaimed_;
    } else {
      functions_[index].call(functions_[index].device, value);
    }
  }

  Sums sums() {
    Sums result{.unclaimed = unclaimed_};
    for_each_index<Entries>(
        [&]<std::size_t Index>() { result.add(Index, static_cast<Device<Index>&>(devices_).sum); });
    return result;
  }

 private:
  struct Function {
    void (*call)(void*, std::uint8_t);
    void* device;
  };

  std::array<std::uint16_t, Entries> bases_ = first_ports<Entries, Lay>();
  std::array<Function, Entries> functions_{};
  typename Pack<Entries>::Devices devices_;
  std::uint64_t unclaimed_ = 0;
};

/// The device behind a virtual call.
struct Virtual {
  virtual ~Virtual() = default;
  virtual void write(std::uint8_t value) = 0;
  [[nodiscard]] virtual std::uint64_t sum() const = 0;
};

template <std::size_t Index>
struct VirtualDevice final : Virtual {
  void write(std::uint8_t value) override { device.write(value); }

  [[nodiscard]] std::uint64_t sum() const override { return device.sum; }

  Device<Index> device;
};

/// Owns one of each, and sums them up.
template <std::size_t Entries>
class VirtualDevices {
 public:
  VirtualDevices() {
    for_each_index<Entries>(
        [&]<std::size_t Index>() { devices_[Index] = std::make_shared<VirtualDevice<Index>>(); });
  }

  std::shared_ptr<Virtual> const& operator[](std::size_t index) const { return devices_[index]; }

  [[nodiscard]] Sums sums(std::uint64_t unclaimed) const {
    Sums result{.unclaimed = unclaimed};
    for (std::size_t index = 0; index < Entries; ++index) result.add(index, devices_[index]->sum());
    return result;
  }

 private:
  std::array<std::shared_ptr<Virtual>, Entries> devices_;
};

/// One pointer for each of the 65,536 ports, and a virtual call.
template <std::size_t Entries, Layout Lay>
class PortArray {
 public:
  PortArray() : table_(65536) {
    for (std::size_t index = 0; index < Entries; ++index) {
      table_[ports<Lay>[index]] = devices_[index].get();
    }
  }

  void write(std::uint16_t port, std::uint8_t value) {
    if (Virtual* const device = table_[port]) {
      device->write(value);
    } else {
      ++unclaimed_;
    }
  }

  Sums sums() { return devices_.sums(unclaimed_); }

 private:
  VirtualDevices<Entries> devices_;
  std::vector<Virtual*> table_;
  std::uint64_t unclaimed_ = 0;
};

struct Range {
  std::uint16_t base;
  std::uint16_t size;
  Virtual* device;
};

/// A sorted vector of ranges, binary search, and a virtual call.
template <std::size_t Entries, Layout Lay>
class SortedVector {
 public:
  SortedVector() {
    for (std::size_t index = 0; index < Entries; ++index) {
      ranges_.push_back({ports<Lay>[index], 1, devices_[index].get()});
    }
  }

  void write(std::uint16_t port, std::uint8_t value) {
    auto const above =
        std::upper_bound(ranges_.begin(), ranges_.end(), port,
                         [](std::uint16_t key, Range const& range) { return key < range.base; });
    if (above == ranges_.begin() || port - (above - 1)->base >= (above - 1)->size) {
      ++unclaimed_;
    } else {
      (above - 1)->device->write(value);
    }
  }

  Sums sums() { return devices_.sums(unclaimed_); }

 private:
  VirtualDevices<Entries> devices_;
  std::vector<Range> ranges_;
  std::uint64_t unclaimed_ = 0;
};

/// An ordered map of ranges, and a virtual call.
template <std::size_t Entries, Layout Lay>
class OrderedMap {
 public:
  OrderedMap() {
    for (std::size_t index = 0; index < Entries; ++index) {
      map_.emplace(ports<Lay>[index], Range { ports<Lay>[index], 1, devices_[index].get() });
    }
  }

  void write(std::uint16_t port, std::uint8_t value) {
    auto const above = map_.upper_bound(port);
    if (above == map_.begin()) {
      ++unclaimed_;
      return;
    }
    Range const& range = std::prev(above)->second;
    if (port - range.base >= range.size) {
      ++unclaimed_;
    } else {
      range.device->write(value);
    }
  }

  Sums sums() { return devices_.sums(unclaimed_); }

 private:
  VirtualDevices<Entries> devices_;
  std::map<std::uint16_t, Range> map_;
  std::uint64_t unclaimed_ = 0;
};

/// As monitors in use do it: a reader-writer lock around an ordered map of weak references to
/// devices, each behind a mutex of its own and a virtual call.
template <std::size_t Entries, Layout Lay>
class Locked {
 public:
  Locked() {
    for (std::size_t index = 0; index < Entries; ++index) {
      owners_[index] = std::make_shared<Guarded>();
      owners_[index]->device = devices_[index];
      map_.emplace(ports<Lay>[index], Entry { 1, owners_[index] });
    }
  }

  void write(std::uint16_t port, std::uint8_t value) {
    if (std::shared_ptr<Guarded> const found = find(port)) {
      std::lock_guard const lock{found->mutex};
      found->device->write(value);
    } else {
      ++unclaimed_;
    }
  }

  Sums sums() { return devices_.sums(unclaimed_); }

 private:
  struct Guarded {
    std::mutex mutex;
    std::shared_ptr<Virtual> device;
  };

  struct Entry {
    std::uint16_t size;
    std::weak_ptr<Guarded> device;
  };

  std::shared_ptr<Guarded> find(std::uint16_t port) {
    std::shared_lock const lock{map_mutex_};
    auto const above = map_.upper_bound(port);
    if (above == map_.begin()) return nullptr;
    auto const& [base, entry] = *std::prev(above);
    return port - base < entry.size ? entry.device.lock() : nullptr;
  }

  VirtualDevices<Entries> devices_;
  std::array<std::shared_ptr<Guarded>, Entries> owners_;
  std::shared_mutex map_mutex_;
  std::map<std::uint16_t, Entry> map_;
  std::uint64_t unclaimed_ = 0;
};

}  // namespace dispatch
