/* A machine out of bare system calls, written by hand in C: what bench/lifecycle compares with. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bare_machine {
  int kvm;
  int vm;
  int vcpu;
  long run_size;
  void* run;
  char* ram;
};

/* Ready to run; a machine that cannot be made ends the program. */
struct bare_machine bare_create(void);

/* Runs until `hlt`, and calls `first_exit(value)` for a byte to the exit port. */
void bare_run(struct bare_machine const* machine, void (*first_exit)(uint8_t value));

void bare_destroy(struct bare_machine const* machine);

#ifdef __cplusplus
}
#endif
