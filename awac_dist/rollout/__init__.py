"""Policy + environment -> episodes. No torch from here on down."""
