/// From an address to the place that holds it, where places are known at run time only.
///
///     #include <portico/device/place_index.hpp>
///     struct Place { std::uint64_t base; std::uint64_t size; int device; };
///     portico::detail::PlaceIndex<Place> places;
///     int device_at(std::uint64_t address) {
///       Place const* const place = places.find(address);
///       return place != nullptr ? place->device : -1;
///     }
///     void add(int device) { places.add({0x3F8, 8, device}); }
///
/// The forms of `route`, made at run time: where the places lie on a grid of at most 64 Ki cells, as
/// ports always do, one load from a table of cells; else a binary search without branches. What
/// costs is a mispredicted jump to a device, and it costs more the later the place is known.
/// Internal to DynamicMap. Limits: 255 places that do not overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/device/route.hpp>

namespace portico::detail {

/// Keeps places in ascending order. `Place` has a `base` and a `size`, which is not 0.
template <class Place>
class PlaceIndex {
 public:
  static constexpr std::size_t most_places = 255;

  void add(Place const& place) {
    Expects(places_.size() < most_places);
    auto position = places_.begin();
    while (position != places_.end() && position->base < place.base) ++position;
    places_.insert(position, place);
    grid_ = grid_of(places_);
    cells_.clear();
    if (grid_.cells > most_cells) return;
    cells_.resize(grid_.cells);
    for (std::size_t number = 0; number < places_.size(); ++number) {
      std::uint64_t const begin = (places_[number].base - grid_.first) >> grid_.shift;
      std::uint64_t const end = begin + (places_[number].size >> grid_.shift);
      for (std::uint64_t cell = begin; cell < end; ++cell)
        cells_[cell] = static_cast<std::uint8_t>(number + 1);
    }
  }

  /// The place that holds an address, or nullptr.
  [[gnu::always_inline]] [[nodiscard]] Place const* find(std::uint64_t address) const noexcept {
    std::uint64_t const cell = (address - grid_.first) >> grid_.shift;  // wraps below the first
    if (cell < cells_.size()) [[likely]] {
      std::size_t const number = cells_[cell];
      return number != 0 ? places_.data() + number - 1 : nullptr;
    }
    return cells_.empty() ? search(address) : nullptr;
  }

 private:
  [[nodiscard]] Place const* search(std::uint64_t address) const noexcept {
    if (places_.empty()) return nullptr;
    // The last place that begins at or below the address.
    Place const* low = places_.data();
    for (std::size_t count = places_.size(); count > 1;) {
      std::size_t const half = count / 2;
      low += low[half].base <= address ? half : 0;
      count -= half;
    }
    return address - low->base < low->size ? low : nullptr;
  }

  std::vector<Place> places_;
  Grid grid_{};
  std::vector<std::uint8_t> cells_;  // a place's number, counted from 1, or 0; empty: too many
};

}  // namespace portico::detail
