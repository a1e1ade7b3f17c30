/// Dates of the Gregorian calendar and back, by arithmetic alone.
///
///     #include <portico/devices/calendar.hpp>
///     static_assert(portico::seconds_of({2000, 3, 1, 0, 0, 0}) == 951'868'800);
///     static_assert(portico::date_of(951'868'799).day == 29);
///
/// Seconds since 1970-01-01 00:00, without leap seconds. For any year that fits.
#pragma once

#include <cstdint>

namespace portico {

/// A date and a time of the day.
struct CalendarDate {
  std::int64_t year = 1970;
  std::int64_t month = 1;  ///< 1 to 12
  std::int64_t day = 1;    ///< 1 to 31
  std::int64_t hour = 0;
  std::int64_t minute = 0;
  std::int64_t second = 0;
  unsigned weekday = 4;  ///< 0 is Sunday; `seconds_of` does not look at it

  friend bool operator==(CalendarDate const&, CalendarDate const&) = default;
};

namespace detail {

constexpr std::int64_t floor_div(std::int64_t value, std::int64_t by) noexcept {
  return value / by - (value % by < 0 ? 1 : 0);
}

constexpr std::int64_t floor_mod(std::int64_t value, std::int64_t by) noexcept {
  return value - floor_div(value, by) * by;
}

constexpr std::int64_t days_in_400_years = 146'097;

/// Days from 0000-03-01 to the first of March of a year. A year that begins in March has its leap
/// day at the end.
constexpr std::int64_t days_to_march(std::int64_t year) noexcept {
  return 365 * year + floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400);
}

/// Days from the first of March to the first of a month, 0 being March: 31, 30, 31, 30, 31 repeat.
constexpr std::int64_t days_to_month(std::int64_t month) noexcept { return (153 * month + 2) / 5; }

constexpr std::int64_t march_of_0_to_1970 = 719'468;

}  // namespace detail

/// Fields that are too large, or 0, count on: February 30 is in March.
constexpr std::int64_t seconds_of(CalendarDate const& date) noexcept {
  using namespace detail;
  std::int64_t const months = date.year * 12 + date.month - 3;  // since March of year 0
  std::int64_t const days = days_to_march(floor_div(months, 12)) +
                            days_to_month(floor_mod(months, 12)) + date.day - 1 -
                            march_of_0_to_1970;
  return ((days * 24 + date.hour) * 60 + date.minute) * 60 + date.second;
}

constexpr CalendarDate date_of(std::int64_t seconds) noexcept {
  using namespace detail;
  std::int64_t const days = floor_div(seconds, 86'400);
  std::int64_t const time = floor_mod(seconds, 86'400);
  std::int64_t const since_march = days + march_of_0_to_1970;
  // The estimate may be a year late, on the last of February.
  std::int64_t year = floor_div(since_march * 400 + 591, days_in_400_years);
  if (days_to_march(year) > since_march) --year;
  std::int64_t const day_of_year = since_march - days_to_march(year);
  std::int64_t const month = (5 * day_of_year + 2) / 153;  // 0 is March
  CalendarDate date;
  date.year = month < 10 ? year : year + 1;
  date.month = month < 10 ? month + 3 : month - 9;
  date.day = day_of_year - days_to_month(month) + 1;
  date.hour = time / 3600;
  date.minute = time / 60 % 60;
  date.second = time % 60;
  date.weekday = static_cast<unsigned>(floor_mod(days + 4, 7));
  return date;
}

}  // namespace portico
