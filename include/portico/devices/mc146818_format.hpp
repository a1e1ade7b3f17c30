/// How an MC146818 writes times: BCD or binary, 12 or 24 hours; and when its alarm comes.
///
///     #include <portico/devices/mc146818_format.hpp>
///     constexpr portico::ClockFormat format{false, false};      // BCD, 12 hours
///     static_assert(format.encode_hour(23) == 0x91);            // 11 PM
///     static_assert(format.decode_hour(0x91) == 23);
///
/// For devices/mc146818.hpp. Source: Motorola MC146818A, "Time, calendar, and alarm locations".
#pragma once

#include <cstdint>

namespace portico {

/// Bits DM and 24/12 of register B.
struct ClockFormat {
  bool binary = false;
  bool hours24 = true;

  [[nodiscard]] constexpr std::uint8_t encode(std::int64_t value) const noexcept {
    return static_cast<std::uint8_t>(binary ? value : value / 10 % 10 << 4 | value % 10);
  }

  /// Of any byte: a BCD digit above 9 counts by its weight.
  [[nodiscard]] constexpr std::int64_t decode(std::uint8_t byte) const noexcept {
    return binary ? byte : (byte >> 4) * 10 + (byte & 0xF);
  }

  /// In 12-hour mode 12, 1 to 11, and bit 7 in the afternoon.
  [[nodiscard]] constexpr std::uint8_t encode_hour(std::int64_t hour) const noexcept {
    if (hours24) return encode(hour);
    unsigned const shown = encode(hour % 12 == 0 ? 12 : hour % 12);
    return static_cast<std::uint8_t>(shown | (hour >= 12 ? 0x80U : 0U));
  }

  [[nodiscard]] constexpr std::int64_t decode_hour(std::uint8_t byte) const noexcept {
    if (hours24) return decode(byte);
    return decode(byte & 0x7F) % 12 + ((byte & 0x80) != 0 ? 12 : 0);
  }
};

/// The three alarm bytes.
struct ClockAlarm {
  std::uint8_t second = 0;
  std::uint8_t minute = 0;
  std::uint8_t hour = 0;

  static constexpr std::int64_t never = INT64_MAX;

  /// The first second after `seconds` (of any day) at which the alarm comes, or `never`. A byte
  /// from 0xC0 on matches always, one that no clock shows never.
  [[nodiscard]] constexpr std::int64_t next(std::int64_t seconds,
                                            ClockFormat format) const noexcept {
    std::int64_t const second_wanted = wanted(second, format.decode(second), format, 60);
    std::int64_t const minute_wanted = wanted(minute, format.decode(minute), format, 60);
    std::int64_t hour_wanted = format.decode_hour(hour);
    if (hour >= 0xC0)
      hour_wanted = any;
    else if (hour_wanted > 23 || format.encode_hour(hour_wanted) != hour)
      hour_wanted = none;
    if (second_wanted == none || minute_wanted == none || hour_wanted == none) return never;

    // Whole hours and minutes that do not match are stepped over.
    std::int64_t at = seconds + 1;
    for (;;) {
      std::int64_t const of_day = ((at % day) + day) % day;
      if (!matches(hour_wanted, of_day / 3600))
        at += 3600 - of_day % 3600;
      else if (!matches(minute_wanted, of_day / 60 % 60))
        at += 60 - of_day % 60;
      else if (!matches(second_wanted, of_day % 60))
        ++at;
      else
        return at;
    }
  }

 private:
  static constexpr std::int64_t any = -1;
  static constexpr std::int64_t none = -2;
  static constexpr std::int64_t day = 86'400;

  static constexpr std::int64_t wanted(std::uint8_t byte, std::int64_t value, ClockFormat format,
                                       std::int64_t end) noexcept {
    if (byte >= 0xC0) return any;
    return value < end && format.encode(value) == byte ? value : none;
  }

  static constexpr bool matches(std::int64_t wanted, std::int64_t value) noexcept {
    return wanted == any || wanted == value;
  }
};

}  // namespace portico
