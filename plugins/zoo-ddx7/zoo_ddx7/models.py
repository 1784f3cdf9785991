"""The architectures: one for each patch, and short names for the three instruments that have a patch of their own."""

from zoo_ddx7.patches import PATCHES

flute = PATCHES["flute"].model("flute")
brass = PATCHES["brass"].model("brass")
strings = PATCHES["strings"].model("strings")
piano = PATCHES["piano"].model("piano")
ablated_brass = PATCHES["ablated-brass"].model("ablated-brass")
ablated_flute = PATCHES["ablated-flute"].model("ablated-flute")
one_stack_of_2 = PATCHES["1stack2"].model("1stack2")
one_stack_of_4 = PATCHES["1stack4"].model("1stack4")
two_stacks_of_2 = PATCHES["2stack2"].model("2stack2")

violin = PATCHES["strings"].model("strings", plays="violin")
trumpet = PATCHES["brass"].model("brass", plays="trumpet")

# The reduced DDX7 of Caspe et al., "Distilling DDSP" (JAES 2025): 51,922 parameters where the others have 399,762.
_XS = {"blocks": 3, "channels": 64}

reduced_flute = PATCHES["flute"].model("XS-flute", decoder=_XS)
reduced_brass = PATCHES["brass"].model("XS-brass", decoder=_XS)
reduced_strings = PATCHES["strings"].model("XS-strings", decoder=_XS)
reduced_violin = PATCHES["strings"].model("XS-strings", plays="violin", decoder=_XS)
reduced_trumpet = PATCHES["brass"].model("XS-brass", plays="trumpet", decoder=_XS)
