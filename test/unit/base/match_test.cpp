#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include <portico/base/match.hpp>

namespace portico {
namespace {

template <int Number>
struct Case {
  int value = Number;
};

template <class Indices>
struct Many;

template <int... Number>
struct Many<std::integer_sequence<int, Number...>> {
  using type = std::variant<Case<Number>...>;
};

template <class Variant, std::size_t Index>
void expect_found() {
  Variant const variant{std::in_place_index<Index>};
  EXPECT_EQ(match(variant, [](auto const& held) { return held.value; }), static_cast<int>(Index));
}

template <class Variant, std::size_t... Index>
void expect_each_found(std::index_sequence<Index...>) {
  (expect_found<Variant, Index>(), ...);
}

TEST(Match, FindsEachAlternativeOfManySizes) {
  expect_each_found<Many<std::make_integer_sequence<int, 1>>::type>(std::make_index_sequence<1>{});
  expect_each_found<Many<std::make_integer_sequence<int, 11>>::type>(
      std::make_index_sequence<11>{});
  expect_each_found<Many<std::make_integer_sequence<int, 12>>::type>(
      std::make_index_sequence<12>{});
  expect_each_found<Many<std::make_integer_sequence<int, 24>>::type>(
      std::make_index_sequence<24>{});
}

TEST(Match, TheHandlerOfTheTypeWinsOverTheGeneralOne) {
  std::variant<int, char, bool> const value = 'x';
  auto const kind = [](auto const& held) {
    return match(held, [](char) { return "char"; }, [](auto const&) { return "other"; });
  };
  EXPECT_STREQ(kind(value), "char");
  EXPECT_STREQ(kind(std::variant<int, char, bool>{true}), "other");
}

TEST(Match, TwoAlternativesOfOneTypeAreTold) {
  std::variant<int, int> const second{std::in_place_index<1>, 5};
  EXPECT_EQ(match(second, [](int held) { return held; }), 5);
}

TEST(Match, HandlersMayChangeWhatIsHeld) {
  std::variant<int, std::string> value{std::string{"a"}};
  match(value, [](int& held) { ++held; }, [](std::string& held) { held += "b"; });
  EXPECT_EQ(std::get<std::string>(value), "ab");
}

TEST(Match, HandlersMayOwnWhatCannotBeCopied) {
  auto owner = std::make_unique<int>(3);
  std::variant<int, char> const value{4};
  EXPECT_EQ(match(
                value, [owned = std::move(owner)](int held) { return *owned + held; },
                [](char) { return 0; }),
            7);
}

TEST(Match, ResultsHaveACommonType) {
  std::variant<int, char> const value{'a'};
  auto const result = match(value, [](int) { return 1.5; }, [](char) { return 2; });
  EXPECT_EQ(result, 2.0);
  static_assert(std::is_same_v<decltype(result), double const>);
}

TEST(Match, MayReturnNothing) {
  std::variant<int, char> const value{4};
  int seen = 0;
  match(value, [&](int held) { seen = held; }, [](char) {});
  EXPECT_EQ(seen, 4);
}

struct ThrowsOnCopy {
  ThrowsOnCopy() = default;

  ThrowsOnCopy(ThrowsOnCopy const&) { throw std::runtime_error{"copy"}; }

  ThrowsOnCopy& operator=(ThrowsOnCopy const&) = default;
};

TEST(Match, ThrowsIfNothingIsHeld) {
  std::variant<int, ThrowsOnCopy> value{4};
  ThrowsOnCopy const source;
  EXPECT_THROW(value.emplace<ThrowsOnCopy>(source), std::runtime_error);
  ASSERT_TRUE(value.valueless_by_exception());
  EXPECT_THROW(match(value, [](auto const&) {}), std::bad_variant_access);
}

TEST(Match, AnExceptionComesThrough) {
  std::variant<int, char> const value{4};
  EXPECT_THROW(match(value, [](auto) { throw std::runtime_error{"handler"}; }), std::runtime_error);
}

}  // namespace
}  // namespace portico
