// An alternative of three has no handler.
// FIRST: portico::match: a variant's alternative has no handler.*To fix this: add a lambda
// EXPECT: match_lacks_a_handler_for<false, Triangle>
#include <portico/base/match.hpp>

struct Circle {};

struct Square {};

struct Triangle {};

int corners(std::variant<Circle, Triangle, Square> const& shape) {
  return portico::match(  // HERE
      shape, [](Circle) { return 0; }, [](Square) { return 4; }
#ifdef PORTICO_CONTROL
      ,
      [](Triangle) { return 3; }
#endif
  );
}
