/// Contracts and views: the one place through which the library reaches Microsoft GSL.
///
///     #include <portico/base/contracts.hpp>
///     void fill(gsl::span<std::byte> sector) {
///       Expects(sector.size() == 512);      // the caller is wrong, never the guest
///       for (std::byte& byte : sector) byte = std::byte{0};
///     }
///
/// `Expects` and `Ensures` state what the host program guarantees. Nothing that a guest can
/// influence may reach them: a guest's mistake is defined device behaviour and a counter (see
/// README.md, "Errors").
#pragma once

#include <gsl/assert>
#include <gsl/span>
