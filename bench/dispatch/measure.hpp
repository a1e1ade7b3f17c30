// Registers the benchmarks of one size, and runs single passes for counting instructions.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "contenders.hpp"

namespace dispatch {

/// One pass over the accesses. Kept whole under its own name, so that callgrind can tell its cost.
template <class Contender>
[[gnu::noinline]] void pass(Contender& contender, std::span<Access const> accesses) {
  for (Access const& access : accesses) {
    contender.write(access.port, access.value);
    benchmark::ClobberMemory();  // a device's state lives in memory, as between two exits
  }
}

/// No figure without the work: the sums must be those of a plain loop.
template <std::size_t Entries, Layout Lay, class Contender>
void verify(Contender& contender, std::span<Access const> accesses, std::uint64_t passes,
            char const* name) {
  if (contender.sums() == expected_sums<Lay>(Entries, accesses, passes)) return;
  std::fprintf(stderr, "dispatch: %s with %zu entries did something else than it should\n", name,
               Entries);
  std::exit(1);
}

template <class Contender, std::size_t Entries, Layout Lay>
void time(benchmark::State& state, Pattern pattern, char const* name) {
  auto const accesses = make_accesses<Lay>(pattern, Entries, kAccesses);
  auto const contender = std::make_unique<Contender>();
  std::uint64_t passes = 0;
  for ([[maybe_unused]] auto turn : state) {
    pass(*contender, accesses);
    ++passes;
  }
  verify<Entries, Lay>(*contender, accesses, passes, name);
  state.SetItemsProcessed(static_cast<std::int64_t>(passes * kAccesses));
}

struct Case {
  std::string name;                     ///< contender/entries
  void (*count)(Pattern, std::size_t);  ///< one verified pass of so many accesses
};

/// Filled by every size.
std::vector<Case>& cases();

char const* name_of(Pattern pattern);

template <class Contender, std::size_t Entries, Layout Lay>
void add_contender(char const* name) {
  std::string const full =
      std::string{name} + (Lay == Layout::dense ? ":dense" : "") + "/" + std::to_string(Entries);
  for (Pattern const pattern : {Pattern::same, Pattern::random, Pattern::miss}) {
    benchmark::RegisterBenchmark((full + "/" + name_of(pattern)).c_str(),
                                 [pattern, name](benchmark::State& state) {
                                   time<Contender, Entries, Lay>(state, pattern, name);
                                 });
  }
  cases().push_back({full, [](Pattern pattern, std::size_t accesses) {
                       auto const list = make_accesses<Lay>(pattern, Entries, accesses);
                       auto const contender = std::make_unique<Contender>();
                       pass(*contender, list);
                       verify<Entries, Lay>(*contender, list, 1, "a contender");
                     }});
}

template <std::size_t Entries>
void add_size() {
  constexpr auto sparse = Layout::sparse;
  add_contender<Portico<Entries, sparse>, Entries, sparse>("portico");
  if constexpr (Entries <= portico::DynamicMap<>::size)
    add_contender<Dynamic<Entries, sparse>, Entries, sparse>("dynamic");
  add_contender<Switch<Entries, sparse>, Entries, sparse>("switch");
  add_contender<Visit<Entries, sparse>, Entries, sparse>("visit");
  add_contender<FunctionTable<Entries, sparse>, Entries, sparse>("function_table");
  add_contender<PortArray<Entries, sparse>, Entries, sparse>("port_array");
  add_contender<SortedVector<Entries, sparse>, Entries, sparse>("sorted_vector");
  add_contender<OrderedMap<Entries, sparse>, Entries, sparse>("ordered_map");
  add_contender<Locked<Entries, sparse>, Entries, sparse>("locked");
  constexpr auto dense = Layout::dense;
  add_contender<Portico<Entries, dense>, Entries, dense>("portico");
  add_contender<Switch<Entries, dense>, Entries, dense>("switch");
}

}  // namespace dispatch
