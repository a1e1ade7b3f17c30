#include "report.hpp"

#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <string_view>
#include <system_error>

namespace exits {
namespace {

__attribute__((format(printf, 1, 2))) std::string text(char const* format, ...) {
  char buffer[256];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

std::string quoted(std::string_view value) {
  std::string result = "\"";
  for (char const letter : value) {
    if (letter == '"' || letter == '\\') result += '\\';
    if (static_cast<unsigned char>(letter) < 0x20) {
      result += text("\\u%04x", static_cast<unsigned>(letter));
    } else {
      result += letter;
    }
  }
  return result + '"';
}

std::string number(double value) { return text("%.10g", value); }

/// One JSON object, member by member.
class Object {
 public:
  Object& raw(char const* name, std::string const& value) {
    text_ += (text_.empty() ? "{" : ", ") + quoted(name) + ": " + value;
    return *this;
  }

  Object& add(char const* name, std::string const& value) { return raw(name, quoted(value)); }

  Object& add(char const* name, double value) { return raw(name, number(value)); }

  Object& add_head(std::string const& group, std::string const& name,
                   std::optional<int> const& ring) {
    return add("group", group).add("name", name).raw("ring", ring ? std::to_string(*ring) : "null");
  }

  [[nodiscard]] std::string done() const { return text_ + "}"; }

 private:
  std::string text_;
};

std::string json(Figure const& figure) {
  std::string histogram;
  for (Bucket const& bucket : figure.summary.histogram) {
    histogram += (histogram.empty() ? "[" : ", ") +
                 text("[%.6g, %llu]", bucket.first, static_cast<unsigned long long>(bucket.second));
  }
  Object object;
  object.add_head(figure.group, figure.name, figure.ring)
      .raw("variant", figure.variant.empty() ? "null" : quoted(figure.variant))
      .add("unit", "ns")
      .add("count", static_cast<double>(figure.summary.count))
      .add("p50", figure.summary.p50)
      .add("p99", figure.summary.p99)
      .add("p999", figure.summary.p999)
      .add("min", figure.summary.min)
      .add("mean", figure.summary.mean)
      .add("exits_per_op", figure.exits_per_op)
      .add("empty_loop_ns", figure.empty_loop_ns);
  if (figure.bytes_per_second) object.add("bytes_per_second", *figure.bytes_per_second);
  object.raw("histogram", histogram.empty() ? "[]" : histogram + "]").add("note", figure.note);
  return object.done();
}

std::string json(Missing const& missing) {
  return Object{}
      .add_head(missing.group, missing.name, missing.ring)
      .add("missing", missing.missing)
      .raw("errno", missing.error == 0 ? "null" : quoted(errno_name(missing.error)))
      .done();
}

std::string json(Ratio const& ratio) {
  return Object{}
      .add_head(ratio.group, ratio.name, ratio.ring)
      .add("variant", ratio.variant)
      .add("versus", ratio.versus)
      .add("ratio", ratio.ratio.value)
      .add("low", ratio.ratio.low)
      .add("high", ratio.ratio.high)
      .add("difference_ns", ratio.difference_ns.value)
      .add("difference_low", ratio.difference_ns.low)
      .add("difference_high", ratio.difference_ns.high)
      .add("samples", static_cast<double>(ratio.samples))
      .add("claim", ratio.claim)
      .add("verdict", ratio.verdict)
      .done();
}

std::string where(std::optional<int> const& ring) { return ring ? std::to_string(*ring) : "-"; }

}  // namespace

std::string errno_name(int error) {
  char const* const name = ::strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

void Report::print(std::FILE* to) const {
  std::string group;
  for (Figure const& figure : figures_) {
    if (figure.group != group) {
      group = figure.group;
      std::fprintf(to, "\n%-46s %4s %-13s %10s %10s %10s %8s %8s\n", group.c_str(), "ring",
                   "variant", "p50 ns", "p99 ns", "p99.9 ns", "exits/op", "samples");
    }
    std::fprintf(to, "%-46s %4s %-13s %10.0f %10.0f %10.0f %8.3g %8llu", figure.name.c_str(),
                 where(figure.ring).c_str(), figure.variant.c_str(), figure.summary.p50,
                 figure.summary.p99, figure.summary.p999, figure.exits_per_op,
                 static_cast<unsigned long long>(figure.summary.count));
    if (figure.bytes_per_second) {
      std::fprintf(to, "  %.1f MB/s", *figure.bytes_per_second / 1e6);
    }
    std::fputc('\n', to);
  }
  if (!ratios_.empty()) {
    std::fprintf(to, "\n%-20s %4s %-24s %24s %26s\n", "in turns", "ring", "compared",
                 "ratio (95 % interval)", "difference, ns");
  }
  for (Ratio const& ratio : ratios_) {
    std::fprintf(to, "%-20s %4s %-24s %8.4f (%.4f-%.4f) %8.0f (%.0f to %.0f)  %s%s%s\n",
                 ratio.name.c_str(), where(ratio.ring).c_str(),
                 (ratio.variant + " / " + ratio.versus).c_str(), ratio.ratio.value, ratio.ratio.low,
                 ratio.ratio.high, ratio.difference_ns.value, ratio.difference_ns.low,
                 ratio.difference_ns.high, ratio.claim.c_str(), ratio.claim.empty() ? "" : ": ",
                 ratio.verdict.c_str());
  }
  if (!missing_.empty()) std::fprintf(to, "\nnot on this KVM\n");
  for (Missing const& missing : missing_) {
    std::fprintf(to, "%-46s %4s %s%s%s\n", missing.name.c_str(), where(missing.ring).c_str(),
                 missing.missing.c_str(), missing.error == 0 ? "" : ": ",
                 missing.error == 0 ? "" : errno_name(missing.error).c_str());
  }
  for (std::string const& failure : failures_) std::fprintf(to, "\nWRONG: %s\n", failure.c_str());
}

void Report::write_json(std::string const& path) const {
  std::FILE* const file = std::fopen(path.c_str(), "we");
  if (file == nullptr) throw std::system_error{errno, std::system_category(), path};
  char const* separator = "[\n";
  auto const write = [&](auto const& records) {
    for (auto const& record : records) {
      std::fprintf(file, "%s%s", separator, json(record).c_str());
      separator = ",\n";
    }
  };
  write(figures_);
  write(ratios_);
  write(missing_);
  std::fprintf(file, "%s]\n", figures_.empty() && ratios_.empty() && missing_.empty() ? "[" : "\n");
  bool const failed = std::ferror(file) != 0;
  if (std::fclose(file) != 0 || failed) throw std::system_error{EIO, std::system_category(), path};
}

}  // namespace exits
