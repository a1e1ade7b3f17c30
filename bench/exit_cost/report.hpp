// Prints what was counted.
#pragma once

#include <string>

#include "options.hpp"
#include "tracer.hpp"

namespace exit_cost {

std::string as_text(Options const& options, Result const& result);
std::string as_json(Options const& options, Result const& result);

}  // namespace exit_cost
