// Writes the ACPI tables of two boards into a folder, one file each, for iasl_test.py.
#include <cstdio>
#include <string>

#include <portico/firmware/acpi_tables.hpp>

#include "boards.hpp"

namespace {

bool write(std::string const& path, portico::acpi::Table const& table) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return false;
  bool const all = std::fwrite(table.data(), 1, table.size(), file) == table.size();
  return std::fclose(file) == 0 && all;
}

bool write_all(std::string const& folder, portico::DescribedBoard const& board) {
  return write(folder + "dsdt.dat", portico::acpi::dsdt(board, 2)) &&
         write(folder + "facp.dat", portico::acpi::fadt(board, 0xE'0040, 0xE'0080)) &&
         write(folder + "apic.dat", portico::acpi::madt(board, 2));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::string const folder = argv[1];
  bool const written =
      write_all(folder + "/full_", portico::describe_board(portico::test::FullBoard{})) &&
      write_all(folder + "/small_", portico::describe_board(portico::test::SmallBoard{}));
  return written ? 0 : 1;
}
