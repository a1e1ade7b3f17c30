// A machine without a vCPU.
// FIRST: portico::Vcpus: a machine has at least one vCPU
// EXPECT: portico::Vcpus<0
#include <portico/machine/options.hpp>

#ifdef PORTICO_CONTROL
using Option = portico::Vcpus<1>;
#else
using Option = portico::Vcpus<0>;
#endif

inline constexpr Option option{};  // HERE
static_assert(option.count == 1);
